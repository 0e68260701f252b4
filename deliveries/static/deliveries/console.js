// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  setTimeout(() => form.querySelectorAll("[type=submit]").forEach((button) => { button.disabled = true; }));
});
