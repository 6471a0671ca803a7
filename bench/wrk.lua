-- Sends one of many prepared requests at a time, so that no cache sees one token
-- only. BENCH_REQUESTS names a file: method, path, header lines, a blank line, the
-- name of the header that differs ("body" for the body), then a value a line.
local requests = {}
local method, path, headers, what = nil, nil, {}, nil

local function add(value)
  if what == 'body' then
    requests[#requests + 1] = wrk.format(method, path, headers, value)
  else
    headers[what] = value
    requests[#requests + 1] = wrk.format(method, path, headers, nil)
  end
end

function init()
  local values = false
  for line in io.lines(os.getenv('BENCH_REQUESTS')) do
    if what then
      add(line)
    elseif values then
      what = line
    elseif not method then
      method, path = string.match(line, '^(%S+) (%S+)$')
    elseif line == '' then
      values = true
    else
      local name, value = string.match(line, '^(%S+): (.*)$')
      headers[name] = value
    end
  end
end

local i = 0
function request()
  i = i % #requests + 1
  return requests[i]
end
