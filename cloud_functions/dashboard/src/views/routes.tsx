import type {Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {NotificationRoute} from "../api/types";
import {mayAdminister, useApp} from "../context";
import {durationText} from "../format/time";
import {BUILT_IN_CHANNELS} from "../route_form";
import {routeText} from "../router";
import {SeverityBadge} from "../ui/badges";
import {Ago, Loading, Problem, ViewHead} from "../ui/parts";

/** All routes: which alerts go to which channels. */
export function RoutesView() {
  const {client, me} = useApp();
  const routes = usePolling<Listed<NotificationRoute>>((signal) => client.list("/routes", {}, signal), 10_000, "routes");
  const items = routes.value?.items ?? [];
  return (
    <>
      <ViewHead title="Routes">{mayAdminister(me) && <a class="button primary" href={routeText(["routes", "new"])}>New route</a>}</ViewHead>
      <Problem error={routes.error} />
      {!routes.value && !routes.error && <Loading />}
      {routes.value && !items.some((one) => one.name === "default") && (
        <p class="muted">The built-in route <code>default</code> sends each alert to {BUILT_IN_CHANNELS.join(", ")}. A route of this name replaces it.</p>
      )}
      {items.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Routes">
          <table class="cards">
            <thead><tr><th scope="col">Name</th><th scope="col">Sites</th><th scope="col">Gateways</th><th scope="col">Series</th><th scope="col">Alerts</th><th scope="col">Channels</th><th scope="col">Grouped by</th><th scope="col">Repeated</th><th scope="col">Escalated</th><th scope="col">Changed</th></tr></thead>
            <tbody>
              {items.map((route) => (
                <tr key={route.name}>
                  <th scope="row"><a href={routeText(["routes", route.name])}>{route.name}</a></th>
                  <td data-label="Sites"><code>{route.sites}</code></td>
                  <td data-label="Gateways"><code>{route.gateways}</code></td>
                  <td data-label="Series"><code>{route.series}</code></td>
                  <td data-label="Alerts">{route.severities?.map((one) => <SeverityBadge key={one} severity={one} />) ?? "any severity"}{route.kinds && <small class="by">{route.kinds.join(", ")}</small>}</td>
                  <td data-label="Channels">{route.channels.join(", ")}</td>
                  <td data-label="Grouped by">{route.group_by}</td>
                  <td data-label="Repeated">{route.repeat_s > 0 ? `every ${durationText(route.repeat_s * 1_000)}` : "never"}</td>
                  <td data-label="Escalated">{route.escalate_after_s > 0 ? `after ${durationText(route.escalate_after_s * 1_000)} to ${route.escalate_to.join(", ")}` : "never"}</td>
                  <td data-label="Changed"><Ago ms={route.updated_ms} /> {route.updated_by && <small class="by">by {route.updated_by}</small>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}
