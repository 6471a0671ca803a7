-- prelude: what every script below begins with; store/lua.go puts it in front.
-- Numbers stay below 2^53 and cross as strings of whole milliseconds.

-- The names of session.EventFields, in its order (a test compares the two).
local EVENT = { 'v', 'id', 'at', 'action', 'ok', 'reason', 'ends', 'error', 'user', 'sid',
  'ip', 'ua', 'device', 'sip', 'access', 'exp', 'abs', 'risk' }

-- text writes a whole number without an exponent.
local function text(n) return string.format('%.0f', n) end

-- now is Redis's clock in Unix ms: the one clock of all gateways.
local function now()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- wrong_type names the first key that has another type than its place asks for,
-- as an error reply. Lua has no rollback: this comes before the first write.
local function wrong_type(want)
  for i, kind in ipairs(want) do
    local found = redis.call('TYPE', KEYS[i]).ok
    if found ~= kind and found ~= 'none' then
      return redis.error_reply('WRONGTYPE key ' .. i .. ' is a ' .. found .. ', want ' .. kind)
    end
  end
end

-- event reads the values of an event: the last of ARGV in every script, so that
-- a new field moves nothing else.
local function event()
  local e, before = {}, #ARGV - #EVENT
  for i, name in ipairs(EVENT) do e[name] = ARGV[before + i] end
  return e
end

-- append adds e to the stream, always with the same names in the same order:
-- Redis then stores the names once a node.
local function append(stream, e)
  local args = {}
  for i, name in ipairs(EVENT) do
    args[2 * i - 1] = name
    args[2 * i] = e[name] or ''
  end
  redis.call('XADD', stream, '*', unpack(args))
end

-- resolve follows a reference to a long text; see store/doc.go.
local function resolve(prefix, value)
  if not value then return '' end
  if string.sub(value, 1, 1) ~= '@' then return value end
  return redis.call('GET', prefix .. 'text:' .. string.sub(value, 2)) or ''
end

-- ending makes the event that ends a session, with all that its row needs. The
-- reader derives the event's id from the sid. why is a session.EndReason, note
-- what whoever asked for it said, hash is {u, a, k, d, n}.
local function ending(prefix, request, sid, why, note, hash, exp, at)
  local e = {}
  for _, name in ipairs(EVENT) do e[name] = request[name] end
  e.id, e.at, e.action, e.ok, e.reason, e.ends, e.error = '', text(at), 'logout', '1', note, why, ''
  e.risk = ''
  e.user, e.sid, e.exp = hash[1], sid, text(exp)
  e.abs = hash[2] and hash[2] .. '000' or ''
  e.access, e.device, e.sip = resolve(prefix, hash[3]), resolve(prefix, hash[4]), hash[5] or ''
  return e
end

-- announce adds an ending to the feed of revocations. Each entry carries its
-- number in the partition, counted in meta, so that a reader knows when one is
-- missing, whatever has been trimmed or lost. keep is "<entries> <ms>": how many
-- stay, about, and how long; after that no token of the session is good anyway.
local function announce(feed, meta, keep, e, at)
  local entries, ms = string.match(keep, '^(%d+) (%d+)$')
  local n = text((tonumber(redis.call('HGET', meta, 'feed')) or 0) + 1)
  local id = redis.call('XADD', feed, 'MAXLEN', '~', entries, '*', 'n', n, 'sid', e.sid, 'user', e.user,
    'reason', e.ends, 'at', text(at), 'until', e.exp)
  redis.call('HSET', meta, 'feed', n, 'feed_id', id)
  redis.call('XTRIM', feed, 'MINID', '~', text(at - tonumber(ms)))
end

-- outlive sets the user's key to live as long as its longest-lived entry. GT
-- would leave a fresh key without a TTL.
local function outlive(key)
  local last = redis.call('ZRANGE', key, -1, -1, 'WITHSCORES')
  if last[2] then redis.call('PEXPIREAT', key, text(tonumber(last[2]))) end
end
