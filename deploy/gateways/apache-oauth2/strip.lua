-- strip.lua removes every header with anything but letters, digits and "-" in its name:
-- X_Auth_Subject is X-Auth-Subject to CGI and WSGI, and so is X!Auth!Subject. mod_headers
-- can't remove by pattern.

function strip(r)
	for name in pairs(r:headers_in_table()) do
		if name:find("[^%w-]") then
			r.headers_in[name] = nil
		end
	end
	return apache2.DECLINED -- and what else there is to check goes on
end
