#!lua flags=allow-oom
-- feed_append: announce sessions that ended without a script of ours: their keys
-- were removed by hand.
--
-- KEYS[1]  stream  feed      sg:{p}:feed
-- KEYS[2]  hash    meta      sg:{p}:meta
-- ARGV[1]  what the feed keeps: entries, ms
-- ARGV[2]  reason, a session.EndReason
-- ARGV[3..]  in turn: sid, user id, until when it matters (Unix ms)
--
-- Returns  how many were announced
-- Atomic. Repeating it announces them again, which harms nobody: who reads the
-- feed forgets the same session twice.

local bad = wrong_type({ 'stream', 'hash' })
if bad then return bad end

local at = now()
for i = 3, #ARGV, 3 do
  local e = { sid = ARGV[i], user = ARGV[i + 1], ends = ARGV[2], exp = ARGV[i + 2] }
  announce(KEYS[1], KEYS[2], ARGV[1], e, at)
end
return (#ARGV - 2) / 3
