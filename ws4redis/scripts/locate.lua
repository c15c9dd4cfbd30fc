-- Finds where a channel was at a point of time.
-- KEYS: stream, positions
-- ARGV: microseconds since 1970, as the TIME of this Redis tells them; seconds for which the stream
--       is kept (0: for ever)
-- Returns: the position of the last message before; that of read.lua if nothing was published
local PAGE = 50
local epoch, top = unpack(redis.call('HMGET', KEYS[2], 'epoch', 'offset'))
if not epoch then
  local keep = tonumber(ARGV[2])
  return '*' .. (keep > 0 and math.floor(redis.call('TIME')[1] / keep) or 0) .. ':0'
end
local offset, stop = tonumber(top or 0), '+'
repeat
  local entries = redis.call('XREVRANGE', KEYS[1], stop, '-', 'COUNT', PAGE)
  for _, entry in ipairs(entries) do
    offset = tonumber(string.match(entry[1], '%d+'))
    if tonumber(entry[2][4]) < tonumber(ARGV[1]) then
      return epoch .. ':' .. offset
    end
    offset = offset - 1
  end
  stop = '(' .. (offset + 1) .. '-0'
until #entries < PAGE
if 0 < offset and offset < tonumber(top or 0) then
  -- All that is kept is younger. What was dropped may be so, too: a position that can't be had.
  offset = offset - 1
end
return epoch .. ':' .. offset
