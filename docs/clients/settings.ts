// The settings of one provider, by REST: keeps the last good ones and their ETag, and waits for Retry-After.
// Call refresh() on a timer, and settings whenever you need them. Node 20, no packages at run time:
//
//   npm install --save-dev typescript@5 @types/node@20
//   npx tsc --strict --target es2022 --module nodenext settings.ts
//   node settings.js

export interface Effective {
  status: "ok" | "disabled" | "no_model" | "no_key" | "key_unreadable";
  cure: string | null;
  model: string | null;
  /** What to send with a call: the model, and each parameter that it takes, by the vendor's names. */
  request: Record<string, unknown>;
  maxRetries: number;
  retryBackoffMs: number;
  requestTimeoutMs: number;
  customSettings: Record<string, unknown>;
}

type Answer = { success: true; data: Effective } | { success: false; error: { code: string; message: string } };
type Outcome = "changed" | "unchanged" | "kept";

export class SettingsClient {
  #last?: { settings: Effective; etag: string };
  #waitUntil = 0;
  #problem = "nothing was asked yet";

  constructor(
    private readonly url: string,
    private readonly token: string,
    private readonly provider: string,
  ) {}

  /** The last good settings; throws while there are none. */
  get settings(): Effective {
    if (!this.#last) throw new Error(`No settings of ${this.provider}: ${this.#problem}`);
    return this.#last.settings;
  }

  /** Why the last refresh kept what was there. */
  get problem(): string {
    return this.#problem;
  }

  /** Ask for what is in force. Never throws: "kept" says that there was no good answer. */
  async refresh(): Promise<Outcome> {
    if (Date.now() < this.#waitUntil) return "kept";
    const headers: Record<string, string> = { Authorization: `Bearer ${this.token}` };
    if (this.#last) headers["If-None-Match"] = this.#last.etag;
    try {
      const response = await fetch(`${this.url}/api/llm/settings?provider=${encodeURIComponent(this.provider)}`, {
        headers,
        signal: AbortSignal.timeout(5000),
      });
      if (response.status === 304) return "unchanged";
      const retryAfter = Number(response.headers.get("Retry-After") ?? 0);
      if (retryAfter > 0) this.#waitUntil = Date.now() + retryAfter * 1000;
      const answer = (await response.json()) as Answer;
      if (answer.success) {
        this.#last = { settings: answer.data, etag: response.headers.get("ETag") ?? "" };
        return "changed";
      }
      this.#problem = `${answer.error.code}: ${answer.error.message}`;
    } catch (error) {
      this.#problem = String(error);
    }
    return "kept";
  }
}

async function main(): Promise<void> {
  const { LLM_SETTINGS_URL: url, LLM_SETTINGS_TOKEN: token } = process.env;
  if (!url || !token) throw new Error("Set LLM_SETTINGS_URL and LLM_SETTINGS_TOKEN.");
  const client = new SettingsClient(url, token, "openai");
  for (let poll = 0; poll < 2; poll++) {
    const outcome = await client.refresh();
    console.log(outcome, client.settings.model);
  }
}

main().catch((error) => {
  console.error(String(error));
  process.exitCode = 1;
});
