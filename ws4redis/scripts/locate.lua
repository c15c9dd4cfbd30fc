-- Finds where a channel was at a point of time.
-- KEYS: stream, positions, id of all data
-- ARGV: microseconds since 1970, as the TIME of this Redis tells them; length of the stream, and
--       seconds for which positions are known (0: for ever)
-- Returns: the position of the last message before; that of read.lua if nothing was published; if
--          messages since then may be gone, a position since which no reader gets everything
local epoch, top = unpack(redis.call('HMGET', KEYS[2], 'epoch', 'offset'))
if not epoch then
  -- As in read.lua.
  local known, time, id = tonumber(ARGV[3]), redis.call('TIME'), redis.call('GET', KEYS[3])
  if not id then
    id = string.format('%x%05x', time[1], time[2])
    id = redis.pcall('SET', KEYS[3], id).ok and id or ''
  end
  return '*' .. (known > 0 and math.floor(time[1] / known) or 0) .. 'x' .. id .. ':0'
end
local offset, stop = tonumber(top or 0), '+'
-- Mostly the last message is the one, so more are looked at only when it is not.
local count = 1
repeat
  local asked = count
  local entries = redis.call('XREVRANGE', KEYS[1], stop, '-', 'COUNT', asked)
  for _, entry in ipairs(entries) do
    offset = tonumber(string.match(entry[1], '%d+'))
    if tonumber(entry[2][4]) < tonumber(ARGV[1]) then
      return epoch .. ':' .. offset
    end
    offset = offset - 1
  end
  stop = '(' .. (offset + 1) .. '-0'
  count = 20
until #entries < asked
-- All that is kept came later, and so may have what was dropped. Of a short stream nothing was.
if offset > 0 and redis.call('XLEN', KEYS[1]) >= tonumber(ARGV[2]) then
  offset = offset - 1
end
return epoch .. ':' .. offset
