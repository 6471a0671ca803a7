-- insert_session_logs: append events, skipping those already there.
--
--  $1 uuid[]         id
--  $2 timestamptz[]  created_at
--  $3 text[]         user_id
--  $4 text[]         session_id
--  $5 text[]         action
--  $6 text[]         session_token
--  $7 text[]         ip_address
--  $8 text[]         user_agent
--  $9 text[]         device_info
-- $10 boolean[]      success
-- $11 text[]         error_message
-- $12 text[]         reason
-- $13 text[]         country
-- $14 text[]         asn
-- $15 text[]         risk_score
-- $16 text[]         signals, space-separated
--
-- Rows affected: the events that were new. In the order of the ids, so that two
-- batches never wait for each other. Counts on session_logs_pkey.
INSERT INTO session_logs (
    id, created_at, user_id, session_id, action, session_token, ip_address, user_agent, device_info,
    success, error_message, reason, country, asn, risk_score, signals)
SELECT e.id, e.created_at, NULLIF(e.user_id, ''), CAST(NULLIF(e.session_id, '') AS uuid), e.action,
       NULLIF(e.session_token, ''), CAST(NULLIF(e.ip_address, '') AS inet), NULLIF(e.user_agent, ''),
       NULLIF(e.device_info, ''), e.success, NULLIF(e.error_message, ''), NULLIF(e.reason, ''),
       NULLIF(e.country, ''), CAST(NULLIF(e.asn, '') AS bigint), CAST(NULLIF(e.risk_score, '') AS integer),
       string_to_array(NULLIF(e.signals, ''), ' ')
FROM unnest(CAST($1 AS uuid[]), CAST($2 AS timestamptz[]), CAST($3 AS text[]), CAST($4 AS text[]),
            CAST($5 AS text[]), CAST($6 AS text[]), CAST($7 AS text[]), CAST($8 AS text[]),
            CAST($9 AS text[]), CAST($10 AS boolean[]), CAST($11 AS text[]), CAST($12 AS text[]),
            CAST($13 AS text[]), CAST($14 AS text[]), CAST($15 AS text[]), CAST($16 AS text[]))
     AS e (id, created_at, user_id, session_id, action, session_token, ip_address, user_agent, device_info,
           success, error_message, reason, country, asn, risk_score, signals)
ORDER BY e.id, e.created_at
ON CONFLICT (id, created_at) DO NOTHING;
