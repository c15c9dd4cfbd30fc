"use strict";

(function () {
  const script = document.currentScript;
  const state = document.getElementById("state");
  const billboard = document.getElementById("billboard");
  const form = document.getElementById("post");
  const texts = {
    connected: "live",
    connecting: "connecting",
    disconnected: "reconnecting",
    expelled: "logged out",
  };
  const EXPELLED = 4501;
  const shown = new Set();

  // The page of the board has its notes, and goes on from there.
  const isBoard = document.getElementById("notes") !== null;
  const address = { uri: script.dataset.uri, heartbeat_msg: JSON.parse(script.dataset.heartbeat) };
  if (isBoard) {
    appendNotes(document);
  }

  WS4Redis({
    ...(isBoard ? WS4Redis.page("board") : address),
    connecting: () => show("connecting"),
    connected: () => show("connected"),
    disconnected: (event) => show(event.code === EXPELLED ? "expelled" : "disconnected"),
    receive_message: (data) => append(JSON.parse(data)),
    gap: async () => {
      const html = await (await fetch(location.pathname)).text();
      appendNotes(new DOMParser().parseFromString(html, "text/html"));
    },
  });

  function appendNotes(page) {
    JSON.parse(page.getElementById("notes").textContent).forEach(append);
  }

  function show(name) {
    state.dataset.state = name;
    state.textContent = texts[name];
  }

  // Whatever others wrote is text here, never HTML.
  function append(message) {
    // What was written while the page was made may be in it and come once more.
    if (shown.has(message.pk)) {
      return;
    }
    if (message.pk) {
      shown.add(message.pk);
    }
    const item = document.createElement("li");
    item.classList.toggle("own", message.sender === billboard.dataset.user);
    item.append(
      element("meta", `${message.sender}, ${new Date(message.time).toLocaleTimeString()}`),
      element("text", message.text),
    );
    billboard.append(item);
    billboard.scrollTop = billboard.scrollHeight;
  }

  function element(name, text) {
    const span = document.createElement("span");
    span.className = name;
    span.textContent = text;
    return span;
  }

  async function post() {
    const response = await fetch(form.action, { method: "POST", body: new FormData(form) });
    if (!response.ok) {
      const answer = await response.json().catch(() => ({}));
      throw new Error(answer.error || `The server answered ${response.status}.`);
    }
  }

  if (form) {
    const send = document.getElementById("send");
    const message = document.getElementById("message");
    const error = document.getElementById("error");
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      send.disabled = true;
      error.hidden = true;
      try {
        await post();
        message.value = "";
      } catch (problem) {
        error.textContent = problem.message;
        error.hidden = false;
      }
      send.disabled = false;
      message.focus();
    });
  }
})();
