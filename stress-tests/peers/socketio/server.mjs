// Emits to all clients what comes through the adapter.
// usage: server.mjs PORT REDIS-SOCKET
import { createServer } from "node:http";
import { createAdapter } from "@socket.io/redis-adapter";
import { createClient } from "redis";
import { Server } from "socket.io";

const [port, path] = process.argv.slice(2);
const publisher = createClient({ socket: { path } });
const subscriber = publisher.duplicate();
for (const client of [publisher, subscriber]) client.on("error", console.error);
await Promise.all([publisher.connect(), subscriber.connect()]);

const http = createServer();
const io = new Server(http, {
  adapter: createAdapter(publisher, subscriber),
  transports: ["websocket"],
  perMessageDeflate: false,
  serveClient: false,
});
// So the documentation saves memory.
io.engine.on("connection", (socket) => {
  socket.request = null;
});
http.listen({ host: "127.0.0.1", port: Number(port), backlog: 1024 });
