// A button on each block of code that copies its commands. Without scripts the page has no button and works as before.
"use strict";

function commands(block) {
  const text = block.querySelector("pre").innerText.replace(/\n$/, "");
  const lines = text.split("\n");
  if (!lines.some((line) => line.startsWith("$ "))) return text;
  // In a session, only what was typed is copied: without prompts and outputs.
  const typed = [];
  let continued = false;
  for (const line of lines) {
    if (line.startsWith("$ ") || continued) {
      typed.push(continued ? line : line.slice(2));
      continued = line.endsWith("\\");
    }
  }
  return typed.join("\n");
}

async function copy(button, block) {
  try {
    await navigator.clipboard.writeText(commands(block));
    button.textContent = "Copied";
  } catch {
    button.textContent = "Not allowed";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
}

document.addEventListener("DOMContentLoaded", () => {
  if (!navigator.clipboard) return; // only in a secure context: https, localhost or a file
  for (const block of document.querySelectorAll("div.highlight")) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "copy";
    button.textContent = "Copy";
    button.setAttribute("aria-live", "polite");
    button.addEventListener("click", () => copy(button, block));
    block.append(button);
  }
});
