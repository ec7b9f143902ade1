-- Asks for one client after the other, so that every conversation grows evenly and none has two messages at once.
-- Arguments: the number of the first client, and how many there are.
local headers = { ['Content-Type'] = 'application/json' }
local next, clients

function init(args)
  next, clients = tonumber(args[1]), tonumber(args[2])
end

function request()
  local body = '{"client_name":"client ' .. next % clients .. '","input":"Which train goes to Busan this evening, please?"}'
  next = next + 1
  return wrk.format('POST', '/query', headers, body)
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
