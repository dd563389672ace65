import type {Listed} from "../api/client";
import {usePolling} from "../api/polling";
import type {Channel, NotificationRoute} from "../api/types";
import {mayAdminister, useApp} from "../context";
import {CHANNEL_TYPES, targetText} from "../route_form";
import {routeText} from "../router";
import {Ago, Loading, Problem, ViewHead} from "../ui/parts";

/** All channels: the destinations of alerts, with the routes that use them. */
export function ChannelsView() {
  const {client, me} = useApp();
  const channels = usePolling<Listed<Channel>>((signal) => client.list("/channels", {}, signal), 10_000, "channels");
  const routes = usePolling<Listed<NotificationRoute>>((signal) => client.list("/routes", {}, signal), 10_000, "routes");
  const items = channels.value?.items ?? [];
  return (
    <>
      <ViewHead title="Channels">{mayAdminister(me) && <a class="button primary" href={routeText(["channels", "new"])}>New channel</a>}</ViewHead>
      <Problem error={channels.error ?? routes.error} />
      {!channels.value && !channels.error && <Loading />}
      {channels.value && <p class="muted">The channels default-sns, default-eventbridge and default-mqtt exist without configuration.</p>}
      {items.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label="Channels">
          <table class="cards">
            <thead><tr><th scope="col">Name</th><th scope="col">Type</th><th scope="col">Destination</th><th scope="col">Secret</th><th scope="col">Used by</th><th scope="col">Changed</th></tr></thead>
            <tbody>
              {items.map((channel) => (
                <tr key={channel.name}>
                  <th scope="row"><a href={routeText(["channels", channel.name])}>{channel.name}</a></th>
                  <td data-label="Type">{CHANNEL_TYPES.find(([type]) => type === channel.type)?.[1] ?? channel.type}</td>
                  <td data-label="Destination"><code>{targetText(channel)}</code></td>
                  <td data-label="Secret">{channel.secret ? <code>{channel.secret}</code> : "–"}</td>
                  <td data-label="Used by">{routes.value && <UsedBy channel={channel.name} routes={routes.value.items} />}</td>
                  <td data-label="Changed"><Ago ms={channel.updated_ms} /> {channel.updated_by && <small class="by">by {channel.updated_by}</small>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </>
  );
}

function UsedBy({channel, routes}: {channel: string; routes: readonly NotificationRoute[]}) {
  const users = routes.filter((route) => route.channels.includes(channel) || route.escalate_to.includes(channel));
  if (users.length === 0) return <>no route</>;
  return <>{users.map((route, at) => <>{at > 0 && ", "}<a href={routeText(["routes", route.name])}>{route.name}</a></>)}</>;
}
