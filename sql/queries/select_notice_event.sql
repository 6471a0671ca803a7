-- select_notice_event: the event that notices were sent about.
--
-- $1 uuid  event_id
--
-- One row or none. Counts on notices_event_id_idx.
SELECT CAST(event AS text) AS event, reported_at IS NOT NULL AS reported
FROM notices
WHERE event_id = $1
ORDER BY reported_at
LIMIT 1;
