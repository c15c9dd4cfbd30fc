/* ws4redis, MIT licence. Built from client/src; do not edit. */
"use strict";
(() => {
  // src/backoff.ts
  function backoff(attempt, bounds, random) {
    const bound = Math.min(bounds.maxDelay, bounds.minDelay * 2 ** Math.min(attempt, 30));
    return Math.floor(random() * bound);
  }

  // src/codes.ts
  function mayReconnect(code) {
    return code !== 1008 && !(code >= 4500 && code <= 4999);
  }

  // src/connection.ts
  var CLOSE_TIMEOUT = 2e3;
  var Connection = class {
    constructor(options, listener, environment) {
      this.options = options;
      this.listener = listener;
      this.environment = environment;
      this.state = { name: "closed" };
      this.attempt = 0;
      this.final = false;
    }
    get stateName() {
      return this.state.name;
    }
    get isFinal() {
      return this.final;
    }
    /** Open a socket now, unless there is one. */
    connect() {
      if (this.final || this.state.name !== "closed" && this.state.name !== "waiting") {
        return;
      }
      let socket;
      try {
        socket = this.createSocket();
      } catch (error) {
        this.environment.report(error);
        this.wait();
        return;
      }
      this.enter({ name: "connecting", socket });
    }
    /** Send a message; return false if the socket is not open. */
    send(message) {
      if (this.state.name !== "open") {
        return false;
      }
      this.state.socket.send(message);
      return true;
    }
    /** Close the socket and open another one later. */
    restart() {
      if (this.state.name === "open" || this.state.name === "connecting") {
        const socket = this.state.socket;
        const timer = setTimeout(() => this.lose(socket, lostEvent()), CLOSE_TIMEOUT);
        this.enter({ name: "closing", socket, timer });
        socket.close();
      }
    }
    /** Close the socket for good. */
    close() {
      if (this.final) {
        return;
      }
      this.final = true;
      this.restart();
      if (this.state.name === "waiting") {
        this.enter({ name: "closed" });
      }
    }
    createSocket() {
      const { uri, protocols, binaryType } = this.options;
      const { WebSocket } = this.environment;
      const socket = protocols === void 0 ? new WebSocket(uri) : new WebSocket(uri, protocols);
      if (binaryType !== void 0) {
        socket.binaryType = binaryType;
      }
      socket.onopen = () => this.open(socket);
      socket.onmessage = (event) => this.receive(socket, event.data);
      socket.onclose = (event) => this.lose(socket, event);
      return socket;
    }
    owns(socket) {
      return "socket" in this.state && this.state.socket === socket;
    }
    open(socket) {
      if (this.owns(socket) && this.state.name === "connecting") {
        this.enter({ name: "open", socket, since: this.environment.now() });
        this.listener.onOpen();
      }
    }
    receive(socket, data) {
      if (this.owns(socket) && this.state.name === "open") {
        this.listener.onMessage(data);
      }
    }
    lose(socket, event) {
      if (!this.owns(socket)) {
        return;
      }
      if (this.wasGood()) {
        this.attempt = 0;
      }
      if (!mayReconnect(event.code)) {
        this.final = true;
      }
      if (this.final) {
        this.enter({ name: "closed" });
      } else {
        this.wait();
      }
      this.listener.onLost(event);
    }
    wasGood() {
      return this.state.name === "open" && this.environment.now() - this.state.since >= this.options.minUptime;
    }
    wait() {
      const delay = backoff(this.attempt, this.options, this.environment.random);
      this.attempt += 1;
      const timer = setTimeout(() => this.connect(), delay);
      const wake = this.environment.onWakeup(() => this.connect());
      this.enter({ name: "waiting", timer, wake });
    }
    enter(state) {
      const old = this.state;
      if (old.name === "waiting" || old.name === "closing") {
        clearTimeout(old.timer);
      }
      if (old.name === "waiting") {
        old.wake();
      }
      this.state = state;
      if (old.name !== state.name) {
        this.listener.onState(state.name);
      }
    }
  };
  function lostEvent() {
    const values = { code: 1006, reason: "", wasClean: false };
    return typeof CloseEvent === "undefined" ? values : new CloseEvent("close", values);
  }

  // src/heartbeat.ts
  var INTERVAL = 5e3;
  var TOLERANCE = 3;
  var Heartbeat = class {
    constructor(beat, giveUp) {
      this.beat = beat;
      this.giveUp = giveUp;
      this.missed = 0;
    }
    start() {
      this.stop();
      this.timer = setInterval(() => this.tick(), INTERVAL);
    }
    stop() {
      clearInterval(this.timer);
      this.timer = void 0;
      this.missed = 0;
    }
    /** Something arrived, so the other side is there. */
    heard() {
      this.missed = 0;
    }
    tick() {
      this.missed += 1;
      if (this.missed > TOLERANCE) {
        this.stop();
        this.giveUp();
      } else {
        this.beat();
      }
    }
  };

  // src/queue.ts
  var Queue = class {
    constructor(limit) {
      this.limit = limit;
      this.items = [];
    }
    /** Append an item; return whether there was room. */
    push(item) {
      if (this.items.length >= this.limit) {
        return false;
      }
      this.items.push(item);
      return true;
    }
    /** Return all items, oldest first, and forget them. */
    take() {
      const items = this.items;
      this.items = [];
      return items;
    }
  };

  // src/wakeup.ts
  function onWakeup(callback) {
    if (typeof window === "undefined" || typeof document === "undefined") {
      return () => void 0;
    }
    const onVisible = () => {
      if (document.visibilityState === "visible") {
        callback();
      }
    };
    window.addEventListener("online", callback);
    document.addEventListener("visibilitychange", onVisible);
    return () => {
      window.removeEventListener("online", callback);
      document.removeEventListener("visibilitychange", onVisible);
    };
  }

  // src/client.ts
  var READY_STATES = {
    connecting: 0,
    open: 1,
    closing: 2,
    waiting: 3,
    closed: 3
  };
  var Client = class {
    constructor(options, environment = {}) {
      this.options = options;
      if (!options?.uri) {
        throw new Error("No Websocket URI in options");
      }
      this.environment = { ...browser(), ...environment };
      this.queue = new Queue(options.maxQueue ?? 100);
      this.connection = this.createConnection();
      this.heartbeat = new Heartbeat(
        () => this.connection.send(options.heartbeat_msg ?? ""),
        () => this.connection.restart()
      );
      this.connection.connect();
    }
    /**
     * Send a message, or keep it until there is a connection.
     *
     * Returns false if it was dropped: too many wait already, or the websocket was closed for good.
     */
    send_message(message) {
      if (this.connection.send(message)) {
        return true;
      }
      const kept = !this.connection.isFinal && this.queue.push(message);
      if (!kept) {
        this.call(() => this.options.dropped?.(message));
      }
      return kept;
    }
    /** Close the websocket for good. */
    close() {
      this.connection.close();
    }
    /** Where the websocket is, by name. */
    get state() {
      return this.connection.stateName;
    }
    /** Where the websocket is, as a `readyState` of browsers: 0 to 3. */
    get_state() {
      return READY_STATES[this.connection.stateName];
    }
    is_connecting() {
      return this.get_state() === 0;
    }
    is_connected() {
      return this.get_state() === 1;
    }
    is_closing() {
      return this.get_state() === 2;
    }
    is_closed() {
      return this.get_state() === 3;
    }
    createConnection() {
      const { uri, protocols, binaryType } = this.options;
      const { minDelay = 1e3, maxDelay = 3e4, minUptime = 5e3 } = this.options;
      return new Connection(
        { uri, protocols, binaryType, minDelay, maxDelay, minUptime },
        {
          onState: (state) => this.changed(state),
          onOpen: () => this.opened(),
          onMessage: (data) => this.received(data),
          onLost: (event) => this.call(() => this.options.disconnected?.(event))
        },
        this.environment
      );
    }
    changed(state) {
      if (state !== "open") {
        this.heartbeat.stop();
      }
      this.call(() => this.options.statechange?.(state));
      if (state === "connecting") {
        this.call(() => this.options.connecting?.());
      }
    }
    opened() {
      if (this.hasHeartbeat()) {
        this.heartbeat.start();
      }
      for (const message of this.queue.take()) {
        this.send_message(message);
      }
      this.call(() => this.options.connected?.());
    }
    received(data) {
      this.heartbeat.heard();
      if (!this.hasHeartbeat() || data !== this.options.heartbeat_msg) {
        this.call(() => this.options.receive_message?.(data));
      }
    }
    hasHeartbeat() {
      return this.options.heartbeat_msg !== void 0 && this.options.heartbeat_msg !== null;
    }
    /** Call a page's callback; what it throws must not break the connection. */
    call(callback) {
      try {
        callback();
      } catch (error) {
        this.environment.report(error);
      }
    }
  };
  function browser() {
    return {
      WebSocket: globalThis.WebSocket,
      random: Math.random,
      now: () => performance.now(),
      onWakeup,
      report: (error) => console.error(error)
    };
  }
  var WS4Redis = function(options) {
    return new Client(options);
  };

  // src/classic.ts
  globalThis.WS4Redis = WS4Redis;
})();
