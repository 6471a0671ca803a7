-- settle_notice: write down what became of an attempt.
--
-- $1 text         id
-- $2 integer      which attempt it was
-- $3 text         state
-- $4 timestamptz  when the next attempt is due, where there is one
-- $5 text         why it was not sent; '' if it was
-- $6 boolean      it was not tried and does not count
-- $7 timestamptz  now
--
-- What was sent has been sent, whoever else has taken it meanwhile; about anything
-- else the last who took it has the say. The address of a mail goes when it is of
-- no more use. Rows affected: 1, or 0 if this is old news. Counts on notices_pkey.
UPDATE notices
SET state = CAST($3 AS text),
    attempts = attempts - CASE WHEN $6 THEN 1 ELSE 0 END,
    due_at = CASE WHEN $3 = 'pending' THEN $4 ELSE due_at END,
    error = NULLIF($5, ''),
    settled_at = CASE WHEN $3 = 'pending' THEN NULL ELSE CAST($7 AS timestamptz) END,
    target = CASE WHEN channel = 'email' AND $3 IN ('sent', 'dropped') THEN '' ELSE target END
WHERE id = $1
  AND (state = 'pending' AND (attempts = $2 OR $3 = 'sent') OR state = 'parked' AND $3 = 'sent');
