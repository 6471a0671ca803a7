-- prelude: what every script below begins with; store/lua.go puts it in front.
-- Numbers stay below 2^53 and cross as strings of whole milliseconds.

-- The names of session.EventFields, in its order (a test compares the two).
local EVENT = { 'v', 'id', 'at', 'action', 'ok', 'reason', 'ends', 'error', 'user', 'sid',
  'ip', 'ua', 'device', 'sip', 'access', 'exp', 'abs', 'risk', 'idle', 'active', 'grant' }

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

-- born is the time inside a UUIDv7, Unix ms.
local function born(id) return tonumber(string.sub(id, 1, 8) .. string.sub(id, 10, 13), 16) end

-- active is when the user of a session last did something, Unix ms. It lies beside
-- the time of the session's last use, under "<sid>+"; until then there is the login.
local function active(seen, sid)
  return tonumber(redis.call('HGET', seen, sid .. '+') or born(sid))
end

-- idle_end is when the session ends if the user does nothing: the idle timeout
-- after their last activity, and 2 s later than that, since activity reaches Redis
-- up to a second after it happened.
local function idle_end(since, idle) return since + tonumber(idle) * 1000 + 2000 end

-- about reads of a session's hash what its ending has to say: {u, a, k, d, n, i, m}.
local function about(key) return redis.call('HMGET', key, 'u', 'a', 'k', 'd', 'n', 'i', 'm') end

-- ending makes the event that ends a session, with all that its row needs. The
-- reader derives the event's id from the sid. why is a session.EndReason, note
-- what whoever asked for it said, hash is what about returned.
local function ending(prefix, seen, request, sid, why, note, hash, exp, at)
  local e = {}
  for _, name in ipairs(EVENT) do e[name] = request[name] end
  e.id, e.at, e.action, e.ok, e.reason, e.ends, e.error = '', text(at), 'logout', '1', note, why, ''
  e.risk = ''
  e.user, e.sid, e.exp = hash[1], sid, text(exp)
  e.abs = hash[2] and hash[2] .. '000' or ''
  e.access, e.device, e.sip = resolve(prefix, hash[3]), resolve(prefix, hash[4]), hash[5] or ''
  e.idle, e.grant = hash[6] or '', hash[7] or ''
  e.active = hash[6] and text(active(seen, sid)) or ''
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

-- The functions below take the names of a user's keys as k: {prefix, user, events,
-- seen, feed, meta, keep}, keep being what announce needs.

-- forget takes a session out of the user's keys.
local function forget(k, sid)
  redis.call('ZREM', k.user, sid)
  redis.call('HDEL', k.seen, sid, sid .. '+')
end

-- grant_of returns the id of the remembered device that a member of the user's zset
-- stands for, nil where it is a session.
local function grant_of(member) return string.match(member, '^g:(.+)$') end

-- end_grant forgets a remembered device.
local function end_grant(k, id)
  redis.call('ZREM', k.user, 'g:' .. id)
  redis.call('DEL', k.prefix .. 'grant:' .. id)
end

-- finish ends a live session: the event, the announcement, the keys. It ends the
-- session's grant as well; only a session that runs out by itself leaves it.
local function finish(k, request, sid, why, note, hash, exp, at)
  local over = ending(k.prefix, k.seen, request, sid, why, note, hash, exp, at)
  append(k.events, over)
  announce(k.feed, k.meta, k.keep, over, at)
  forget(k, sid)
  redis.call('DEL', k.prefix .. 'session:' .. sid)
  if hash[7] then end_grant(k, hash[7]) end
end

-- prune takes out of the user's keys what has expired. The last session of a
-- remembered device stays listed as long as the device: ZREM of it is how somebody
-- ends both by hand, also after the session has run out.
local function prune(k, at)
  local over = redis.call('ZRANGEBYSCORE', k.user, '-inf', text(at))
  if #over == 0 then return end
  local kept = {}
  for _, member in ipairs(redis.call('ZRANGEBYSCORE', k.user, '(' .. text(at), '+inf')) do
    local id = grant_of(member)
    local last = id and redis.pcall('HGET', k.prefix .. 'grant:' .. id, 's')
    if type(last) == 'string' then kept[last] = true end
  end
  for _, member in ipairs(over) do
    local id = grant_of(member)
    if id then
      end_grant(k, id)
    elseif not kept[member] then
      forget(k, member)
    end
  end
end

-- arrived notes on the remembered device that the answer which began the session
-- has reached it: from then on its previous refresh token is good for the grace only.
local function arrived(prefix, id, sid)
  local key = prefix .. 'grant:' .. id
  local grant = redis.pcall('HMGET', key, 's', 'c')
  if grant[1] == sid and grant[2] ~= '1' then redis.call('HSET', key, 'c', '1') end
end

-- outlive sets the user's keys to live as long as the longest-lived entry. GT
-- would leave a fresh key without a TTL.
local function outlive(k)
  local last = redis.call('ZRANGE', k.user, -1, -1, 'WITHSCORES')
  if last[2] then
    redis.call('PEXPIREAT', k.user, text(tonumber(last[2])))
    redis.call('PEXPIREAT', k.seen, text(tonumber(last[2])))
  end
end
