-- Publishes one message on a channel with a history.
-- KEYS: stream, positions, channel (of the persisted message), and, with an idempotency key, its own
-- ARGV: payload, seconds to persist it (0: not at all), a new epoch, length of the stream,
--       seconds to keep the stream (0: for ever), name on which it is published, seconds to
--       remember the idempotency key, seconds to know the positions
-- Returns: receivers, position, 1 if it was published before (then nothing happens)
local payload, persist, new_epoch, length, keep = ARGV[1], ARGV[2], ARGV[3], ARGV[4], tonumber(ARGV[5])
local known = KEYS[4] and redis.call('GET', KEYS[4])
if known then
  return {0, known, 1}
end

-- The id of the server's data changes when a replica takes over or Redis starts again, and only then
-- can offsets have been lost and given anew. Without the right to ask, it stays the same.
local info = redis.pcall('INFO', 'replication')
local server = type(info) == 'string' and string.match(info, 'master_replid:(%w+)') or ''
local epoch, top, last_server, past =
  unpack(redis.call('HMGET', KEYS[2], 'epoch', 'offset', 'server', 'past'))
-- Redis refuses to begin when it is full or only a replica, and never in the middle. It judges by
-- the first command that writes, and would let a DEL pass.
if not epoch then
  epoch = new_epoch
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'server', server)
  redis.call('DEL', KEYS[1])
elseif server ~= '' and server ~= last_server then
  -- What is left up to here has the same offsets as before, so positions up to here stay good.
  past = epoch .. ':' .. (top or 0) .. ',' .. (past or '')
  epoch = new_epoch
  redis.call('HSET', KEYS[2], 'epoch', epoch, 'server', server, 'past', string.sub(past, 1, 500))
end

local offset = (top or 0) + 1
local time = redis.call('TIME')
if persist ~= '0' then
  redis.call('SET', KEYS[3], payload, 'EX', persist)
end
-- Before the offset counts: what can't be added takes none, and leaves no hole.
redis.call('XADD', KEYS[1], 'MAXLEN', '~', length, offset .. '-0',
  'd', payload, 't', time[1] .. string.format('%06d', time[2]))
redis.call('HSET', KEYS[2], 'offset', offset)
if keep > 0 then
  redis.call('EXPIRE', KEYS[1], keep)
  redis.call('EXPIRE', KEYS[2], 2 * ARGV[8])
else
  -- The setting may have been another one before.
  redis.call('PERSIST', KEYS[1])
  redis.call('PERSIST', KEYS[2])
end
local position = epoch .. ':' .. offset
if KEYS[4] then
  redis.call('SET', KEYS[4], position, 'EX', ARGV[7])
end
return {redis.call('PUBLISH', ARGV[6], position .. ' ' .. payload), position, 0}
