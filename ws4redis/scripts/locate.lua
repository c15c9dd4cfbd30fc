-- Finds where a channel was at a point of time.
-- KEYS: stream, positions
-- ARGV: microseconds since 1970, as the TIME of this Redis tells them
-- Returns: the position of the last message before; '*:0' if nothing was published
local PAGE = 50
local epoch, top = unpack(redis.call('HMGET', KEYS[2], 'epoch', 'offset'))
if not epoch then
  return '*:0'
end
local offset, stop = tonumber(top or 0), '+'
while true do
  local entries = redis.call('XREVRANGE', KEYS[1], stop, '-', 'COUNT', PAGE)
  for _, entry in ipairs(entries) do
    offset = tonumber(string.match(entry[1], '%d+'))
    if tonumber(entry[2][4]) < tonumber(ARGV[1]) then
      return epoch .. ':' .. offset
    end
    offset = offset - 1
  end
  if #entries < PAGE then
    return epoch .. ':' .. offset
  end
  stop = '(' .. (offset + 1) .. '-0'
end
