-- Asks for one client after the other, so that every conversation grows evenly and none has two messages at once.
-- Arguments: which client is asked first, how many there are, the number of client 0; a file whose content is sent in place of
-- queries ("" for none), the path, and names and values of headers.
local headers = { ['Content-Type'] = 'application/json' }
local next, clients, offset, path, fixed

function init(args)
  next, clients, offset, path = tonumber(args[1]), tonumber(args[2]), tonumber(args[3]), args[5]
  for i = 6, #args, 2 do headers[args[i]] = args[i + 1] end
  if args[4] ~= '' then fixed = wrk.format('POST', path, headers, io.open(args[4], 'rb'):read('*a')) end
end

function request()
  if fixed then return fixed end
  local name = 'client ' .. offset + next % clients
  next = next + 1
  local body = '{"client_name":"' .. name .. '","input":"Which train goes to Busan this evening, please?"}'
  return wrk.format('POST', path, headers, body)
end

function done(summary, latency)
  local errors = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"micros":%d,"errors":%d,"p50":%d,"p99":%d}\n',
    summary.requests, summary.duration,
    errors.connect + errors.read + errors.write + errors.status + errors.timeout,
    latency:percentile(50), latency:percentile(99)
  ))
end
