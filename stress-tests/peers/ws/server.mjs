// Sends every message of a channel of Redis to all websockets.
// usage: server.mjs PORT REDIS-SOCKET CHANNEL
import { createClient } from "redis";
import { WebSocket, WebSocketServer } from "ws";

const [port, path, channel] = process.argv.slice(2);
const clients = new Set();

function publish(message) {
  for (const client of clients) {
    if (client.readyState === WebSocket.OPEN) client.send(message);
  }
}

const redis = createClient({ socket: { path } });
redis.on("error", console.error);
await redis.connect();
// As strings, which ws sends at a slightly lower price than bytes.
await redis.subscribe(channel, publish);

const server = new WebSocketServer({
  host: "127.0.0.1",
  port: Number(port),
  backlog: 1024,
  perMessageDeflate: false,
  clientTracking: false,
});
server.on("connection", (client) => {
  clients.add(client);
  client.on("error", console.error);
  client.on("close", () => clients.delete(client));
});
