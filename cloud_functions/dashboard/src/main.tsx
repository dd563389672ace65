import {render} from "preact";
import {App} from "./app";
import {applyTheme} from "./ui/theme";
import {finishLogin} from "./auth/oidc";
import {loadConfig} from "./config";
import "uplot/dist/uPlot.min.css";
import "./styles/base.css";
import "./styles/views.css";

async function start(root: HTMLElement): Promise<void> {
  applyTheme();
  try {
    const config = await loadConfig();
    let problem = "";
    if (config.login.type === "oidc") {
      await finishLogin(config.login).catch((error: unknown) => {
        problem = error instanceof Error ? error.message : String(error);
      });
    }
    render(<App config={config} loginProblem={problem} />, root);
  } catch (error) {
    render(<main><h1>Strandline</h1><p class="problem" role="alert">The page cannot start: {String(error)}</p></main>, root);
  }
}

const root = document.getElementById("app");
if (root) void start(root);
