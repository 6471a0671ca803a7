-- merge_user_sessions: make or complete the rows of sessions from what a batch
-- of events says about them. The same events give the same rows in any order,
-- any number of times: the login event has the last word on what never changes,
-- others only fill what is missing, and times only grow. Whether a session has
-- ended is not touched.
--
--  $1 uuid[]         id, without repeats (else 21000)
--  $2 text[]         user_id
--  $3 text[]         session_token
--  $4 text[]         device_info
--  $5 text[]         device_id
--  $6 text[]         device_platform
--  $7 text[]         ip_address
--  $8 text[]         user_agent
--  $9 text[]         client_id
-- $10 text[]         scope
-- $11 text[]         amr, space-separated
-- $12 timestamptz[]  created_at
-- $13 timestamptz[]  last_activity
-- $14 timestamptz[]  expires_at
-- $15 text[]         absolute_expires_at
-- $16 boolean[]      from_login
-- $17 text[]         idle_timeout, in seconds; '' for none
-- $18 text[]         active_at; '' for not known
-- $19 text[]         grant_id; '' for none
-- $20 text[]         country
-- $21 text[]         asn
--
-- Locks every row it is given, in the order of the ids, so that two batches
-- never wait for each other. Counts on user_sessions_pkey.
INSERT INTO user_sessions AS s (
    id, user_id, session_token, device_info, device_id, device_platform, ip_address, user_agent,
    client_id, scope, amr, created_at, last_activity, expires_at, absolute_expires_at, from_login,
    idle_timeout, active_at, grant_id, country, asn)
SELECT e.id, e.user_id, e.session_token,
       NULLIF(e.device_info, ''), NULLIF(e.device_id, ''), NULLIF(e.device_platform, ''),
       CAST(NULLIF(e.ip_address, '') AS inet), NULLIF(e.user_agent, ''),
       NULLIF(e.client_id, ''), NULLIF(e.scope, ''), string_to_array(NULLIF(e.amr, ''), ' '),
       e.created_at, e.last_activity, e.expires_at,
       CAST(NULLIF(e.absolute_expires_at, '') AS timestamptz), e.from_login,
       CAST(NULLIF(e.idle_timeout, '') AS integer), CAST(NULLIF(e.active_at, '') AS timestamptz),
       CAST(NULLIF(e.grant_id, '') AS uuid), NULLIF(e.country, ''), CAST(NULLIF(e.asn, '') AS bigint)
FROM unnest(CAST($1 AS uuid[]), CAST($2 AS text[]), CAST($3 AS text[]), CAST($4 AS text[]),
            CAST($5 AS text[]), CAST($6 AS text[]), CAST($7 AS text[]), CAST($8 AS text[]),
            CAST($9 AS text[]), CAST($10 AS text[]), CAST($11 AS text[]), CAST($12 AS timestamptz[]),
            CAST($13 AS timestamptz[]), CAST($14 AS timestamptz[]), CAST($15 AS text[]),
            CAST($16 AS boolean[]), CAST($17 AS text[]), CAST($18 AS text[]), CAST($19 AS text[]),
            CAST($20 AS text[]), CAST($21 AS text[]))
     AS e (id, user_id, session_token, device_info, device_id, device_platform, ip_address, user_agent,
           client_id, scope, amr, created_at, last_activity, expires_at, absolute_expires_at, from_login,
           idle_timeout, active_at, grant_id, country, asn)
ORDER BY e.id
ON CONFLICT (id) DO UPDATE SET
    device_info = CASE WHEN s.from_login THEN s.device_info WHEN excluded.from_login THEN excluded.device_info
                       ELSE COALESCE(s.device_info, excluded.device_info) END,
    device_id = CASE WHEN s.from_login THEN s.device_id WHEN excluded.from_login THEN excluded.device_id
                     ELSE COALESCE(s.device_id, excluded.device_id) END,
    device_platform = CASE WHEN s.from_login THEN s.device_platform
                           WHEN excluded.from_login THEN excluded.device_platform
                           ELSE COALESCE(s.device_platform, excluded.device_platform) END,
    ip_address = CASE WHEN s.from_login THEN s.ip_address WHEN excluded.from_login THEN excluded.ip_address
                      ELSE COALESCE(s.ip_address, excluded.ip_address) END,
    country = CASE WHEN s.from_login THEN s.country WHEN excluded.from_login THEN excluded.country
                   ELSE COALESCE(s.country, excluded.country) END,
    asn = CASE WHEN s.from_login THEN s.asn WHEN excluded.from_login THEN excluded.asn
               ELSE COALESCE(s.asn, excluded.asn) END,
    user_agent = CASE WHEN s.from_login THEN s.user_agent WHEN excluded.from_login THEN excluded.user_agent
                      ELSE COALESCE(s.user_agent, excluded.user_agent) END,
    client_id = CASE WHEN s.from_login THEN s.client_id WHEN excluded.from_login THEN excluded.client_id
                     ELSE COALESCE(s.client_id, excluded.client_id) END,
    scope = CASE WHEN s.from_login THEN s.scope WHEN excluded.from_login THEN excluded.scope
                 ELSE COALESCE(s.scope, excluded.scope) END,
    amr = CASE WHEN s.from_login THEN s.amr WHEN excluded.from_login THEN excluded.amr
               ELSE COALESCE(s.amr, excluded.amr) END,
    absolute_expires_at = CASE WHEN s.from_login THEN s.absolute_expires_at
                               WHEN excluded.from_login THEN excluded.absolute_expires_at
                               ELSE COALESCE(s.absolute_expires_at, excluded.absolute_expires_at) END,
    idle_timeout = CASE WHEN s.from_login THEN s.idle_timeout WHEN excluded.from_login THEN excluded.idle_timeout
                        ELSE COALESCE(s.idle_timeout, excluded.idle_timeout) END,
    grant_id = CASE WHEN s.from_login THEN s.grant_id WHEN excluded.from_login THEN excluded.grant_id
                    ELSE COALESCE(s.grant_id, excluded.grant_id) END,
    active_at = GREATEST(s.active_at, excluded.active_at),
    last_activity = GREATEST(s.last_activity, excluded.last_activity),
    expires_at = GREATEST(s.expires_at, excluded.expires_at),
    from_login = s.from_login OR excluded.from_login
WHERE NOT s.from_login OR s.last_activity < excluded.last_activity OR s.expires_at < excluded.expires_at
   OR COALESCE(s.active_at, '-infinity') < excluded.active_at;
