// Shows the buttons that copy what stands before them, where the browser lets a script do that.
if (navigator.clipboard) {
  for (const button of document.querySelectorAll("button")) {
    const field = button.previousElementSibling;
    button.hidden = false;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(field.value ?? field.textContent);
      button.textContent = button.dataset.done;
    });
  }
}
