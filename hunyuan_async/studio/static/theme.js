// Light or dark: as the system says, until the button says otherwise. No module, so that it runs before the first paint.
"use strict";
(() => {
  const root = document.documentElement;
  // A cookie, as storage is per port, and each start may have another.
  const chosen = document.cookie.match(/(?:^|; )hunyuan_theme=(light|dark)/);
  if (chosen) root.dataset.theme = chosen[1];

  const system = matchMedia("(prefers-color-scheme: dark)");
  const current = () => root.dataset.theme ?? (system.matches ? "dark" : "light");

  addEventListener("DOMContentLoaded", () => {
    const button = document.querySelector("#theme");
    const label = () => { button.textContent = current() === "dark" ? "Light theme" : "Dark theme"; };
    button.addEventListener("click", () => {
      root.dataset.theme = current() === "dark" ? "light" : "dark";
      document.cookie = `hunyuan_theme=${root.dataset.theme}; path=/; max-age=31536000; samesite=strict`;
      label();
    });
    system.addEventListener("change", label);
    label();
  });
})();
