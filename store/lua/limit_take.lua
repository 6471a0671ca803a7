#!lua
-- limit_take: count an attempt at a secret, or say that there have been too many.
-- Each counter is a GCRA: the time at which it will be empty again.
--
-- KEYS[1]  zset    known    sg:{0}:known:<account>   member device or network, score until when (Unix ms)
-- KEYS[2]  string  device   sg:{0}:limit:device:<account and device>
-- KEYS[3]  string  network  sg:{0}:limit:network:<account and network>
-- KEYS[4]  string  account  sg:{0}:limit:account:<account>
-- KEYS[5]  string  prefix   sg:{0}:limit:prefix:<network>
-- KEYS[6]  string  global   sg:{0}:limit:global
-- ARGV[1]  device as a member of known; '' if the client does not say
-- ARGV[2]  network as a member of known; '' if it is not known
-- ARGV[3..10]  burst and ms between two, in turn: of device and network, account,
--              prefix, global; a burst of 0 is no limit
--
-- Returns  {"taken", limit}             under which it counts: device, network, or none
--          {"refused", limit, wait}     which limit, and ms until it takes one more; nothing is counted
-- Atomic. A repeated call counts once more. Refused by Redis when memory is full (no flags).

local bad = wrong_type({ 'zset', 'string', 'string', 'string', 'string', 'string' })
if bad then return bad end

local at = now()

local function is_known(member)
  if member == '' then return false end
  local until_ms = redis.call('ZSCORE', KEYS[1], member)
  return until_ms and tonumber(until_ms) > at
end

-- look returns when the counter would be empty after one more, and how long that
-- one has to wait.
local function look(key, burst, every)
  local empty = math.max(tonumber(redis.call('GET', key) or '0') or 0, at) + every
  return empty, math.max(empty - burst * every - at, 0)
end

local under, rates = 'none', { { 'account', 4, 5 }, { 'prefix', 5, 7 }, { 'global', 6, 9 } }
if is_known(ARGV[1]) then
  under, rates = 'device', { { 'device', 2, 3 } }
elseif is_known(ARGV[2]) then
  under, rates = 'network', { { 'network', 3, 3 } }
end

local counters, refused, longest = {}, nil, 0
for _, rate in ipairs(rates) do
  local key, burst, every = KEYS[rate[2]], tonumber(ARGV[rate[3]]), tonumber(ARGV[rate[3] + 1])
  if burst > 0 then
    local empty, wait = look(key, burst, every)
    if wait > longest then refused, longest = rate[1], wait end
    counters[#counters + 1] = { key, empty }
  end
end
if refused then return { 'refused', refused, text(longest) } end
for _, counter in ipairs(counters) do
  redis.call('SET', counter[1], text(counter[2]), 'PXAT', text(counter[2]))
end
return { 'taken', under }
