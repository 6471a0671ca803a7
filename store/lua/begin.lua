-- begin: what session_create and grant_resume have in common: they begin a session.
-- store/lua.go puts it behind the prelude of those two, which begin alike:
--
-- KEYS[1]  hash    session   sg:{p}:session:<sid>
-- KEYS[2]  zset    user      sg:{p}:user:<user id>   member sid or g:<grant id>, score expiry (Unix ms)
-- KEYS[3]  stream  events    sg:{p}:events
-- KEYS[4]  string  op        sg:{p}:op:<event id>
-- KEYS[5]  hash    seen      sg:{p}:seen:<user id>
-- KEYS[6]  stream  feed      sg:{p}:feed
-- KEYS[7]  hash    meta      sg:{p}:meta
-- KEYS[8]  hash    grant     sg:{p}:grant:<grant id>
-- ARGV[1]  prefix of the partition, sg:{p}:
-- ARGV[2]  lifetime of the op memo, ms
-- ARGV[3]  time to live of the session, ms
-- ARGV[4]  longest life of the session, ms; 0 for no limit
-- ARGV[5]  idle timeout, s; 0 for none
-- ARGV[6]  most sessions a user may have
-- ARGV[7]  "deny" or "evict": what happens beyond that
-- ARGV[8..13]  hash fields k, d, n, w, t and the number of texts, see store/doc.go; '' for none
-- ARGV[14] what the feed keeps: entries, ms
-- ARGV[15] grant id, '' for a device that is not to be remembered
--
-- Returns  nothing of its own: these are functions.

local bad = wrong_type({ 'hash', 'zset', 'stream', 'string', 'hash', 'stream', 'hash', 'hash' })
if bad then return bad end

local k = {
  prefix = ARGV[1], user = KEYS[2], events = KEYS[3], seen = KEYS[5], feed = KEYS[6], meta = KEYS[7], keep = ARGV[14],
}

-- room returns the sessions that have to go for one more, oldest first, with their
-- expiry; nil where one may not have more. gone is a session that goes anyway.
local function room(sid, gone, at)
  local listed = redis.call('ZRANGE', k.user, 0, -1, 'WITHSCORES')
  local others, expiry, cap = {}, {}, tonumber(ARGV[6])
  for i = 1, #listed, 2 do
    local other, exp = listed[i], tonumber(listed[i + 1])
    if exp > at and other ~= sid and other ~= gone and not grant_of(other) then
      others[#others + 1], expiry[other] = other, exp
    end
  end
  if #others < cap then return {}, expiry end
  -- Some may be listed and gone: idle for too long, or deleted by hand.
  local live = {}
  for _, other in ipairs(others) do
    if redis.call('EXISTS', k.prefix .. 'session:' .. other) == 1 then
      live[#live + 1] = other
    else
      forget(k, other)
    end
  end
  if #live < cap then return {}, expiry end
  if ARGV[7] == 'deny' then return nil end
  -- A sid is a UUIDv7, so the order of text is that of birth.
  table.sort(live)
  return { unpack(live, 1, #live - cap + 1) }, expiry
end

-- deadlines fills in when the session of e ends. exp is whole seconds, as in the
-- token, and never beyond the absolute deadline.
local function deadlines(e, at)
  local exp, abs = math.ceil((at + ARGV[3]) / 1000), nil
  if tonumber(ARGV[4]) > 0 then
    abs = math.ceil((at + ARGV[4]) / 1000)
    exp = math.min(exp, abs)
  end
  e.exp, e.abs = text(exp) .. '000', abs and text(abs) .. '000' or ''
  e.grant = ARGV[15]
  if ARGV[5] ~= '0' then e.idle, e.active = ARGV[5], text(born(e.sid)) end
end

-- keep_texts stores the texts that are too long for hashes, from ARGV[first] on,
-- until the time given at least.
local function keep_texts(first, horizon)
  for i = first, first - 1 + 2 * tonumber(ARGV[13]), 2 do
    local key = k.prefix .. 'text:' .. ARGV[i]
    if redis.call('EXISTS', key) == 1 then
      redis.call('PEXPIREAT', key, horizon, 'GT')
    else
      redis.call('SET', key, ARGV[i + 1], 'PXAT', horizon)
    end
  end
end

-- begin appends the login, ends those that have to go for it, and writes the
-- session. It returns how many it ended.
local function begin(e, over, expiry, at)
  append(k.events, e)
  local evicted = 0
  for _, old in ipairs(over) do
    local hash = about(k.prefix .. 'session:' .. old)
    if hash[1] then
      finish(k, e, old, 'evicted', '', hash, expiry[old], at)
      evicted = evicted + 1
    end
  end
  prune(k, at)

  local fields = { 'u', e.user, 'g', '0' }
  local function field(name, value)
    if value ~= '' then
      fields[#fields + 1] = name
      fields[#fields + 1] = value
    end
  end
  for i, name in ipairs({ 'k', 'd', 'n', 'w', 't' }) do field(name, ARGV[7 + i]) end
  field('a', e.abs ~= '' and string.sub(e.abs, 1, -4) or '')
  field('i', e.idle)
  field('m', e.grant)
  redis.call('HSET', KEYS[1], unpack(fields))
  local ends = tonumber(e.exp)
  if e.idle ~= '' then ends = math.min(ends, idle_end(tonumber(e.active), e.idle)) end
  redis.call('PEXPIREAT', KEYS[1], text(ends))
  redis.call('ZADD', k.user, e.exp, e.sid)
  return evicted
end
