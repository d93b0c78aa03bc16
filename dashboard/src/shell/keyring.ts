/** The API's key: asked for in a dialog, kept for this tab alone, sent in headers and never in an address. */
import { element } from "./dom";

const NAME = "coby.key";

export function storedKey(): string | null {
  return sessionStorage.getItem(NAME);
}

/** ``changed`` is called with what was entered, null where it was taken away. */
export function askForKey(changed: (key: string | null) => void): void {
  const dialog = element("dialog", { class: "dialog", "aria-labelledby": "key-title" });
  const input = element("input", { type: "password", id: "key", autocomplete: "off", spellcheck: "false" });
  const save = element("button", { type: "submit" }, "Use it");
  const forget = element("button", { type: "button" }, "Forget the key");
  const close = element("button", { type: "button" }, "Cancel");
  const form = element(
    "form",
    { method: "dialog" },
    element("h2", { id: "key-title" }, "Key of the API"),
    element(
      "p",
      { class: "quiet" },
      "Kept in this tab until it is closed. Scope read; for replays also replay.",
    ),
    element("label", { for: "key" }, "Key"),
    input,
    element("div", { class: "buttons" }, save, storedKey() === null ? null : forget, close),
  );
  const use = (key: string | null): void => {
    if (key === null) sessionStorage.removeItem(NAME);
    else sessionStorage.setItem(NAME, key);
    dialog.close();
    changed(key);
  };
  form.addEventListener("submit", (event) => {
    event.preventDefault();
    if (input.value.trim()) use(input.value.trim());
  });
  forget.addEventListener("click", () => use(null));
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(form);
  document.body.append(dialog);
  dialog.showModal();
}
