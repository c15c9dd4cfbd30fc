import { connect, onSay, show } from "./socket.js";

connect((text) => show(`< ${text}`));
onSay(({ text }) => {
  show(`> ${text}`);
  return text;
});
