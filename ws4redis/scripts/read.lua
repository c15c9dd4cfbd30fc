-- Reads what was published on a channel since a position, or where the channel is.
-- KEYS: stream, positions, channel (of the persisted message), id of all data
-- ARGV: epoch and offset of the position ('' and '0': none), messages to return at most, seconds for
--       which the stream is kept (0: for ever)
-- Returns: position of the channel, 1 if everything since the position is there, the persisted
--          message, then of each message since the position its offset and its payload
local since, count, keep = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local epoch, top, past = unpack(redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'past'))
local last = redis.call('GET', KEYS[3])
-- Before anything is published, the epoch is a star, a number that grows each 'keep' seconds, and an
-- id that is lost with all data. Two of the numbers later, messages may have come and expired, and the
-- positions with them; with another id, they may have come and be lost.
local time = redis.call('TIME')
local now = keep > 0 and math.floor(time[1] / keep) or 0
local begun, asked = string.match(ARGV[1], '^%*(%d+)x(%x*)$')
begun = tonumber(begun)
local id = (begun or not epoch) and redis.call('GET', KEYS[4]) or ''
if id == '' and not epoch then
  id = string.format('%x%05x', time[1], time[2])
  -- Only a primary can do that.
  id = redis.pcall('SET', KEYS[4], id).ok and id or ''
end
local is_known = begun and since == 0 and begun <= now and now <= begun + 1 and asked == id
if not epoch then
  return {'*' .. now .. 'x' .. id .. ':0', is_known and 1 or 0, last}
end
if keep > 0 then
  -- As long as somebody asks for it. Only a primary can do that.
  redis.pcall('EXPIRE', KEYS[2], 2 * keep)
end
top = tonumber(top or 0)
local position = epoch .. ':' .. top
-- A client may send any offset, so each one is compared before it is used.
is_known = is_known or (ARGV[1] == epoch and since <= top)
for former, final in string.gmatch(past or '', '(%w+):(%d+),') do
  is_known = is_known or (ARGV[1] == former and since <= tonumber(final))
end
if not is_known then
  return {position, 0, last}
end

local entries = redis.call('XRANGE', KEYS[1], (since + 1) .. '-0', '+', 'COUNT', count)
local reached = since + #entries
-- Offsets only grow: where none is missing, the last one tells. The end is missing when the stream has
-- expired, or somebody deleted from it.
local is_whole = #entries == 0 or entries[#entries][1] == reached .. '-0'
if not is_whole or (#entries < count and reached < top) then
  return {position, 0, last}
end
local answer = {position, 1, last}
for _, entry in ipairs(entries) do
  answer[#answer + 1] = entry[1]
  answer[#answer + 1] = entry[2][2]
end
return answer
