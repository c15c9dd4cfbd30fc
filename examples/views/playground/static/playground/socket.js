// One websocket of the page, opened again after a second when it ends, as it does at each reload.

const state = document.querySelector("#state");
let socket;

export function connect(receive) {
  socket = new WebSocket(document.querySelector("main").dataset.websocket);
  socket.onopen = () => (state.textContent = "open");
  socket.onmessage = (event) => receive(event.data);
  socket.onclose = () => {
    state.textContent = "closed";
    setTimeout(connect, 1000, receive);
  };
}

export function show(...parts) {
  const item = document.createElement("li");
  item.append(...parts);
  document.querySelector("#messages").append(item);
  item.scrollIntoView();
}

// Calls `say` with the fields of the form; what it returns is sent.
export function onSay(say) {
  const form = document.querySelector("#say");
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (socket.readyState !== WebSocket.OPEN) return;
    socket.send(say(Object.fromEntries(new FormData(form))));
    form.elements.text.value = "";
  });
}
