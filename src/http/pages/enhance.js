"use strict";
// Everything works without this file. It adds a button that copies the secret, and has the page say by
// itself when the secret is used for the first time.
for (const button of document.querySelectorAll("button[data-copy]")) {
  button.hidden = false;
  button.addEventListener("click", async () => {
    const field = document.getElementById(button.dataset.copy);
    field.select();
    try { await navigator.clipboard.writeText(field.value); } catch { document.execCommand("copy"); }
    button.textContent = button.dataset.done;
  });
}

// Uses are written down every ten seconds. After some minutes the page is loaded anew by whoever still
// wonders: the link for that stays until there is an answer.
const EVERY = 3000;
const TRIES = 100;
for (const line of document.querySelectorAll("[data-watch]")) {
  let left = TRIES;
  const ask = async () => {
    if (!document.hidden) {
      left -= 1;
      try {
        const answer = await fetch(line.dataset.watch);
        if (answer.status === 200) {
          line.textContent = await answer.text();
          line.className = "good";
          for (const link of document.querySelectorAll("[data-unwatched]")) link.hidden = true;
          return;
        }
        // The link or the session is good for nothing any more. Too many requests, or a database away, pass.
        if ([400, 403, 404, 410].includes(answer.status)) return;
      } catch { /* The network is away; it may come back. */ }
    }
    if (left > 0) setTimeout(ask, EVERY);
  };
  setTimeout(ask, EVERY);
}
