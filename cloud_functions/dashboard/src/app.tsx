import {useCallback, useEffect, useMemo, useRef, useState} from "preact/hooks";
import {Client, type Listed} from "./api/client";
import {usePolling} from "./api/polling";
import type {Alert, Me} from "./api/types";
import {currentToken, signOut} from "./auth/session";
import type {Config} from "./config";
import {Context} from "./context";
import {routeText, useRoute, type Route} from "./router";
import {Problem} from "./ui/parts";
import {nextTheme, selectTheme, storedTheme} from "./ui/theme";
import {AlertView} from "./views/alert";
import {AlertsView} from "./views/alerts";
import {ChannelView} from "./views/channel";
import {ChannelsView} from "./views/channels";
import {CostsView} from "./views/costs";
import {FleetView} from "./views/fleet";
import {GatewayView} from "./views/gateway";
import {LoginView} from "./views/login";
import {RouteView} from "./views/route";
import {RoutesView} from "./views/routes";
import {RuleView} from "./views/rule";
import {RulesView} from "./views/rules";
import {SeriesView} from "./views/series";
import {SilencesView} from "./views/silences";

/** Time for which a message stays visible. */
const MESSAGE_MS = 8_000;
const ALERTS_MS = 2_000;

/** The whole page: login, or navigation with the view of the present route. */
export function App({config, loginProblem}: {config: Config; loginProblem: string}) {
  const [token, setToken] = useState(currentToken);
  const leave = useCallback(() => {
    signOut();
    setToken(null);
  }, []);
  const client = useMemo(() => new Client(config.api, currentToken, leave), [config, token]);
  if (token === null) return <LoginView login={config.login} problem={loginProblem} onSignedIn={() => setToken(currentToken())} />;
  return <Shell client={client} onLeave={leave} />;
}

function Shell({client, onLeave}: {client: Client; onLeave: () => void}) {
  const route = useRoute();
  const me = usePolling<Me>((signal) => client.get("/me", {}, signal), 300_000, "me");
  const openAlerts = usePolling<Listed<Alert>>((signal) => client.list("/alerts", {state: "open"}, signal), ALERTS_MS, "open");
  const [message, announce] = useState("");
  useEffect(() => {
    const timer = window.setTimeout(() => announce(""), MESSAGE_MS);
    return () => window.clearTimeout(timer);
  }, [message]);
  useAnnouncedAlerts(openAlerts.value?.items, announce);
  const main = useRef<HTMLElement>(null);
  const path = route.path.join("/");
  useEffect(() => {
    window.scrollTo(0, 0);
    main.current?.querySelector<HTMLElement>("h1")?.focus({preventScroll: true});
    document.title = `${route.path.at(-1) ?? "Fleet"} – Strandline`;
  }, [path]);
  const count = openAlerts.value?.items.length ?? 0;
  const link = (name: string, first: string) => (
    <a href={routeText(first ? [first] : [])} aria-current={(route.path[0] ?? "") === first ? "page" : undefined}>{name}</a>
  );
  return (
    <>
      <a class="skip" href="#main" onClick={(event) => {
        event.preventDefault();
        main.current?.focus();
      }}>Skip to content</a>
      <header class="bar">
        <span class="brand">Strandline</span>
        <nav aria-label="Main">
          {link("Fleet", "")}
          <a href={routeText(["alerts"])} aria-current={route.path[0] === "alerts" ? "page" : undefined}>
            Alerts{count > 0 && <span class="count" aria-label={`${count} open`}>{count}</span>}
          </a>
          {link("Rules", "rules")}
          {link("Silences", "silences")}
          {link("Routes", "routes")}
          {link("Channels", "channels")}
          {link("Costs", "costs")}
        </nav>
        <Connection error={openAlerts.error !== undefined} />
        <ThemeSwitch />
        <span class="user">{me.value ? `${me.value.user} (${me.value.role})` : ""}</span>
        <button type="button" class="plain" onClick={onLeave}>Sign out</button>
      </header>
      <main ref={main} id="main" tabIndex={-1}>
        <Problem error={me.error} />
        {me.value && (
          <Context.Provider value={{client, me: me.value, openAlerts, announce}}>
            <View route={route} />
          </Context.Provider>
        )}
      </main>
      <p class="announcement" role="status">{message}</p>
    </>
  );
}

function View({route}: {route: Route}) {
  const [first, name, second] = route.path;
  if (first === undefined) return <FleetView query={route.query} />;
  if (first === "gateways" && name !== undefined) {
    if (second === "series") return <SeriesView key={JSON.stringify(route)} gateway={name} query={route.query} />;
    return <GatewayView key={name} gateway={name} />;
  }
  if (first === "alerts") return name === undefined ? <AlertsView query={route.query} /> : <AlertView key={name} id={name} />;
  if (first === "rules") return name === undefined ? <RulesView /> : <RuleView key={name} name={name} />;
  if (first === "silences") return <SilencesView />;
  if (first === "routes") return name === undefined ? <RoutesView /> : <RouteView key={name} name={name} />;
  if (first === "channels") return name === undefined ? <ChannelsView /> : <ChannelView key={name} name={name} />;
  if (first === "costs") return <CostsView />;
  return <><h1 tabIndex={-1}>Not found</h1><p>There is no page at this address. <a href="#/">Fleet</a></p></>;
}

function Connection({error}: {error: boolean}) {
  return <span class={`badge ${error ? "health-bad" : "health-good"}`}>{error ? "▲ offline, retrying" : "● live"}</span>;
}

function ThemeSwitch() {
  const [theme, setTheme] = useState(storedTheme);
  const next = nextTheme(theme);
  return (
    <button type="button" class="plain" aria-label={`Theme: ${theme}. Change to ${next}`} onClick={() => {
      selectTheme(next);
      setTheme(next);
    }}>{{auto: "◐", light: "☀", dark: "☾"}[theme]} <span class="word">{theme}</span></button>
  );
}

/** Announce alerts that appear while the page is open, and those that end. */
function useAnnouncedAlerts(alerts: readonly Alert[] | undefined, announce: (text: string) => void): void {
  const before = useRef<Map<string, Alert> | null>(null);
  useEffect(() => {
    if (alerts === undefined) return;
    const now = new Map(alerts.map((alert) => [alert.id, alert]));
    const old = before.current;
    before.current = now;
    if (old === null) return;
    const appeared = alerts.filter((alert) => !old.has(alert.id));
    const ended = [...old.values()].filter((alert) => !now.has(alert.id));
    const name = (alert: Alert): string => `${alert.severity}, ${alert.series || alert.gateway}`;
    if (appeared[0]) announce(appeared.length === 1 ? `New alert: ${name(appeared[0])}` : `${appeared.length} new alerts`);
    else if (ended[0]) announce(ended.length === 1 ? `No longer open: ${name(ended[0])}` : `${ended.length} alerts are no longer open`);
  }, [alerts]);
}
