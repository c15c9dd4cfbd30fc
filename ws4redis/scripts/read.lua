-- Reads what was published on a channel since a position, or where the channel is.
-- KEYS: stream, positions, channel (of the persisted message)
-- ARGV: epoch and offset of the position ('*' and '0': the beginning, '' and '0': none), messages to
--       return at most
-- Returns: position of the channel ('*:0' if nothing was published), 1 if everything since the
--          position is there, the persisted message, then of each message since the position its
--          offset and its payload
local since, count = tonumber(ARGV[2]), tonumber(ARGV[3])
local epoch, top, past = unpack(redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'past'))
local last = redis.call('GET', KEYS[3])
if not epoch then
  -- Nothing was ever published, or all of it has expired.
  return {'*:0', ARGV[1] == '*' and since == 0 and 1 or 0, last}
end
top = tonumber(top or 0)
local position = epoch .. ':' .. top
-- A client may send any offset, so each one is compared before it is used.
local is_known = (ARGV[1] == '*' and since == 0) or (ARGV[1] == epoch and since <= top)
for former, final in string.gmatch(past or '', '(%w+):(%d+),') do
  is_known = is_known or (ARGV[1] == former and since <= tonumber(final))
end
if not is_known then
  return {position, 0, last}
end

local answer = {position, 1, last}
local entries = redis.call('XRANGE', KEYS[1], (since + 1) .. '-0', '+', 'COUNT', count)
local expected = since + 1
for _, entry in ipairs(entries) do
  if entry[1] ~= expected .. '-0' then
    return {position, 0, last}
  end
  expected = expected + 1
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = entry[2][2]
end
if #entries < count and expected <= top then
  -- The end is missing: the stream has expired, or somebody deleted from it.
  return {position, 0, last}
end
return answer
