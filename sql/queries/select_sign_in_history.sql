-- select_sign_in_history: what is on record about a user and an address, before
-- the user signs in from it.
--
-- $1 text         user_id; '' for none
-- $2 text         ip_address; '' for none
-- $3 timestamptz  from when on failures count
-- $4 timestamptz  from when on sign-ins from the address count
--
-- One row with one JSON object. Every part is bounded by its LIMIT, so that no
-- user and no address, however busy, makes it slow. Counts on
-- user_sessions_user_id_ended_activity_idx, known_devices_pkey, known_networks_pkey,
-- session_logs_user_id_created_at_idx and session_logs_ip_address_created_at_idx.
WITH sessions AS (
    SELECT created_at, last_activity
    FROM user_sessions
    WHERE user_id = $1
    ORDER BY ended_activity DESC, id DESC
    LIMIT 100
), devices AS (
    SELECT device, first_seen_at FROM known_devices WHERE user_id = $1 ORDER BY last_seen_at DESC LIMIT 100
), networks AS (
    SELECT network, country, asn, last_seen_at FROM known_networks WHERE user_id = $1 ORDER BY last_seen_at DESC LIMIT 100
), failures AS (
    SELECT FROM session_logs
    WHERE user_id = NULLIF($1, '') AND created_at >= CAST($3 AS timestamptz) AND action = 'login' AND NOT success
    LIMIT 100
), address AS (
    SELECT user_id, success, created_at >= CAST($3 AS timestamptz) AS recent
    FROM session_logs
    WHERE action = 'login' AND ip_address = CAST(NULLIF($2, '') AS inet)
      AND created_at >= CAST($4 AS timestamptz)
    ORDER BY created_at DESC
    LIMIT 500
)
SELECT json_build_object(
    'logins', (SELECT count(*) FROM sessions),
    'first_login', LEAST((SELECT min(created_at) FROM sessions), (SELECT min(first_seen_at) FROM devices)),
    'last_seen', (SELECT max(last_activity) FROM sessions),
    'devices', (SELECT COALESCE(json_agg(device), '[]') FROM devices),
    'places', (SELECT COALESCE(json_agg(json_build_object(
        'network', CAST(network AS text), 'country', COALESCE(country, ''), 'asn', COALESCE(asn, 0),
        'last_seen', last_seen_at)), '[]') FROM networks),
    'failures', (SELECT count(*) FROM failures),
    'ip_logins', (SELECT count(*) FROM address WHERE success),
    'ip_users', (SELECT count(DISTINCT user_id) FROM address WHERE recent AND user_id <> $1),
    'ip_tries', (SELECT count(*) FROM address WHERE recent),
    'ip_failures', (SELECT count(*) FROM address WHERE recent AND NOT success));
