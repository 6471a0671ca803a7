-- sessiongate.lua: the action lua.sessiongate asks sessiongate about a request, at the
-- path in txn.sg_path. It sets txn.sg_status (0: no answer) and, from the answer,
-- txn.sg_challenge and the identity. It decides nothing: haproxy.cfg does.
--
-- SESSIONGATE in the environment is sessiongate's host:port.

local server = assert(os.getenv("SESSIONGATE"), "SESSIONGATE is not set")

local identity = { "subject", "session_id", "client_id", "scopes", "amr", "roles", "username", "expires" }

-- first is the first value of a header, "" if there is none. Names are in lower case,
-- values are counted from 0.
local function first(headers, name)
	local values = headers and headers[name]
	return values and values[0] or ""
end

local function list(values)
	local out = {}
	for i = 0, #values do
		out[#out + 1] = values[i]
	end
	return out
end

-- question holds what sessiongate needs and nothing else of the request.
local function question(txn)
	local client = txn.http:req_get_headers()
	local headers = {
		["host"] = { server },
		["x-forwarded-for"] = { txn.f:src() },
		["x-forwarded-method"] = { txn.f:method() },
		["x-forwarded-host"] = { first(client, "host") },
		["x-forwarded-uri"] = { txn.f:pathq() },
		["x-forwarded-proto"] = { txn.f:ssl_fc() == 1 and "https" or "http" },
	}
	for _, name in ipairs({ "authorization", "cookie", "user-agent" }) do
		if client[name] then
			headers[name] = list(client[name])
		end
	end
	return headers
end

core.register_action("sessiongate", { "http-req" }, function(txn)
	txn:set_var("txn.sg_status", 0)
	local answer = core.httpclient():get({
		url = "http://" .. server .. txn:get_var("txn.sg_path"),
		headers = question(txn),
		timeout = 2000, -- ms; above sessiongate's redis.timeout
	})
	if not answer or not answer.status then
		return
	end
	txn:set_var("txn.sg_status", answer.status)
	txn:set_var("txn.sg_challenge", first(answer.headers, "www-authenticate"))
	for _, name in ipairs(identity) do
		txn:set_var("txn.sg_" .. name, first(answer.headers, "x-auth-" .. name:gsub("_", "-")))
	end
end, 0)
