import { connect, onSay, show } from "./socket.js";

connect((data) => {
  // Anybody may send anything: text stays text, and a colour is nothing but a colour.
  const { name, colour, text } = JSON.parse(data);
  const speaker = document.createElement("strong");
  speaker.textContent = name;
  speaker.style.color = colour;
  show(speaker, ": ", String(text));
});
onSay((said) => JSON.stringify(said));
