/** Light or dark: the system's choice unless the user selected one. */
export type Theme = "auto" | "light" | "dark";

const KEY = "strandline.theme";
const ORDER: readonly Theme[] = ["auto", "light", "dark"];

/** Return the selected theme. */
export function storedTheme(): Theme {
  const found = localStorage.getItem(KEY) as Theme | null;
  return found && ORDER.includes(found) ? found : "auto";
}

/** Return the theme that follows one in the switch. */
export function nextTheme(theme: Theme): Theme {
  return ORDER[(ORDER.indexOf(theme) + 1) % ORDER.length] as Theme;
}

/** Apply a theme to the document, and keep it. */
export function selectTheme(theme: Theme): void {
  localStorage.setItem(KEY, theme);
  applyTheme();
}

/** Apply the selected theme; in `auto` follow the system. */
export function applyTheme(): void {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = (): void => {
    const theme = storedTheme();
    document.documentElement.dataset["theme"] = theme === "auto" ? (dark.matches ? "dark" : "light") : theme;
  };
  apply();
  if (!listening) dark.addEventListener("change", apply);
  listening = true;
}

let listening = false;
