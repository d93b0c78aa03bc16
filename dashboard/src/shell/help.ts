/** The dialog with all keys. */
import { element } from "./dom";
import { shown, type Keys } from "./keys";

export function openHelp(keys: Keys): void {
  const dialog = element("dialog", { class: "dialog", "aria-labelledby": "help-title" });
  const groups = new Map<string, HTMLElement[]>();
  for (const command of keys.list()) {
    const names = command.keys.flatMap((key, at) => [
      at > 0 && " or ",
      element("kbd", {}, (command.shift ? "Shift + " : "") + shown(key)),
    ]);
    const row = element("tr", {}, element("th", { scope: "row" }, ...names), element("td", {}, command.what));
    groups.set(command.group, [...(groups.get(command.group) ?? []), row]);
  }
  const tables = [...groups].map(([name, rows]) =>
    element("table", {}, element("caption", {}, name), element("tbody", {}, ...rows)),
  );
  const close = element("button", { type: "button", autofocus: true }, "Close");
  close.addEventListener("click", () => dialog.close());
  dialog.addEventListener("close", () => dialog.remove());
  dialog.append(
    element("h2", { id: "help-title" }, "Keys"),
    element("div", { class: "key-groups" }, ...tables),
    close,
  );
  document.body.append(dialog);
  dialog.showModal();
}
