-- Reads what was published on a channel since a position, or where the channel is.
-- KEYS: stream, positions, channel (of the persisted message), id of all data
-- ARGV: epoch and offset of the position ('' and '0': none), messages to return at most, seconds for
--       which positions are known (0: for ever)
-- Returns: position of the channel, 1 if everything since the position is there, the persisted
--          message for who has no position, then of each message since the position its offset and
--          its payload, at most 256 KiB of them or one
local since, count, known = tonumber(ARGV[2]), tonumber(ARGV[3]), tonumber(ARGV[4])
local epoch, top, past = unpack(redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'past'))
local last = ARGV[1] == '' and redis.call('GET', KEYS[3])
-- Before anything is published, the epoch is a star, a number that grows each 'known' seconds, and an
-- id that is lost with all data. Two of the numbers later, messages may have come and expired, and the
-- positions with them; with another id, they may have come and be lost.
local time = redis.call('TIME')
local now = known > 0 and math.floor(time[1] / known) or 0
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
if known > 0 then
  -- As long as somebody asks for it. Only a primary can do that.
  redis.pcall('EXPIRE', KEYS[2], 2 * known)
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

-- A few at a time: nobody should wait for what is not handed on after all.
local STEP, LIMIT = 20, 262144
local answer, reached, size = {position, 1, last}, since, 0
repeat
  local entries = redis.call('XRANGE', KEYS[1], (reached + 1) .. '-0', '+', 'COUNT', STEP)
  for _, entry in ipairs(entries) do
    if entry[1] ~= (reached + 1) .. '-0' then
      return {position, 0, last}
    end
    size = size + #entry[2][2]
    -- A subscribed link has to take the answer beside its messages, or Redis cuts it.
    if size > LIMIT and reached > since then
      return answer
    end
    answer[#answer + 1] = entry[1]
    answer[#answer + 1] = entry[2][2]
    reached = reached + 1
    if reached == since + count then
      return answer
    end
  end
until #entries < STEP
-- The end is missing when the stream has expired, or somebody deleted from it.
return reached < top and {position, 0, last} or answer
