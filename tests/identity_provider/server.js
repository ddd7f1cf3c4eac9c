// A certified identity provider for tests: node server.js PORT APP_URL. Anybody signs in by a name; their groups are below.
import { generateKeyPairSync, randomBytes } from "node:crypto";
import Provider from "oidc-provider";

const [port, app] = process.argv.slice(2);
const GROUPS = { admin: ["llm-admins"], alan: ["llm-analysts"], olga: ["llm-emea"], sven: ["staff"] };
const { privateKey } = generateKeyPairSync("rsa", { modulusLength: 2048 });
const provider = new Provider(`http://localhost:${port}`, {
  clients: [{
    client_id: "llm-settings",
    client_secret: "a secret of this test",
    redirect_uris: [`${app}/sso/callback`],
    post_logout_redirect_uris: [`${app}/`],
    backchannel_logout_uri: `${app}/sso/logout`,
    backchannel_logout_session_required: true,
  }],
  jwks: { keys: [{ ...privateKey.export({ format: "jwk" }), use: "sig", kid: randomBytes(6).toString("hex") }] },
  cookies: { keys: [randomBytes(16).toString("hex")] },
  claims: { openid: ["sub", "sid"], profile: ["preferred_username", "groups"] },
  conformIdTokenClaims: false,
  features: { devInteractions: { enabled: true }, backchannelLogout: { enabled: true } },
  pkce: { required: () => true },
  fetch: (url, options) => globalThis.fetch(url, { ...options, dispatcher: undefined }),
  findAccount: (_, id) => ({
    accountId: id,
    claims: () => ({ sub: id, preferred_username: id, groups: GROUPS[id] ?? [] }),
  }),
});
provider.on("backchannel.error", (_, error) => console.error("backchannel", error.message, error.cause?.message));
provider.on("server_error", (_, error) => console.error(error));
provider.listen(Number(port), "localhost", () => console.log("ready"));
