-- Sends one of many prepared requests at a time, so that no cache sees one token
-- only. BENCH_REQUESTS names a file: method, path, header lines, a blank line,
-- then a body a line.
local requests = {}
local method, path, headers = nil, nil, {}

function init()
  local body = false
  for line in io.lines(os.getenv('BENCH_REQUESTS')) do
    if body then
      requests[#requests + 1] = wrk.format(method, path, headers, line)
    elseif not method then
      method, path = string.match(line, '^(%S+) (%S+)$')
    elseif line == '' then
      body = true
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
