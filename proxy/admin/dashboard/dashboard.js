// Asks for the page again while somebody looks at it, and puts in the parts that have changed.
// The server has escaped everything; what is parsed here runs no script, and the policy forbids any.
"use strict";
(function () {
  const every = 3000; // ms
  const lost = document.getElementById("lost");

  function put(fresh) {
    for (const part of fresh.querySelectorAll("[data-part]")) {
      const old = document.getElementById(part.id);
      const chosen = document.getSelection();
      const reading = chosen && !chosen.isCollapsed && old && old.contains(chosen.anchorNode);
      if (old && !reading && !old.isEqualNode(part)) {
        old.replaceWith(document.adoptNode(part));
      }
    }
  }

  async function ask() {
    if (document.hidden) {
      return;
    }
    try {
      const answer = await fetch("/", { cache: "no-store", signal: AbortSignal.timeout(10000) });
      if (!answer.ok) {
        throw new Error(answer.statusText);
      }
      put(new DOMParser().parseFromString(await answer.text(), "text/html"));
      lost.hidden = true;
    } catch {
      lost.hidden = false;
    }
  }

  async function go() {
    await ask();
    setTimeout(go, every);
  }

  document.addEventListener("visibilitychange", ask);
  setTimeout(go, every);
})();
