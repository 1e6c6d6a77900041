// What users of OpenAI's official client for Node do: `node calls.mjs CALL BASE_URL KEY` prints all that they see.
import OpenAI from "openai";

const [name, baseURL, apiKey] = process.argv.slice(2);
const client = new OpenAI({ baseURL, apiKey, maxRetries: 0 });
const ask = { model: "gpt-4o", messages: [{ role: "user", content: "Tell me about tidal power, café by café." }] };
const asked = { model: "gpt-4o", messages: [{ role: "user", content: "How is the weather in Oslo?" }] };
const parameters = {
  type: "object",
  properties: { city: { type: "string" }, days: { type: "integer", minimum: 1, maximum: 7 } },
  required: ["city", "days"],
  additionalProperties: false,
};
const tools = [{ type: "function", function: { name: "get_weather", parameters, strict: true } }];

const wish = (headers, more = {}) => ({ headers, ...more });
const collect = async (stream, seen = []) => {
  for await (const event of stream) seen.push(event);
  return seen;
};
const failing = async (promise, seen) => {
  try {
    await promise;
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, code: error.code, body: error.error, seen };
  }
  throw new Error("it did not fail");
};

const calls = {
  chat: () => client.chat.completions.create(ask),
  stream: async () => collect(await client.chat.completions.create({ ...ask, stream: true })),
  streamWithUsage: async () =>
    collect(await client.chat.completions.create({ ...ask, stream: true, stream_options: { include_usage: true } })),
  streamWithTheHelper: () => client.chat.completions.stream(ask).finalChatCompletion(),
  tool: () => client.chat.completions.create({ ...asked, tools }),
  toolStreamed: async () => collect(await client.chat.completions.create({ ...asked, tools, stream: true })),
  toolsRun: async () => {
    const run = async (args) => `Rain in ${args.city}, ${args.days} days.`;
    const runnable = [{ type: "function", function: { ...tools[0].function, function: run, parse: JSON.parse } }];
    const runner = client.chat.completions.runTools({ ...asked, tools: runnable });
    await runner.done();
    return runner.messages;
  },
  response: () => client.responses.create({ model: "gpt-5", input: "Tell me about tides." }),
  responseStreamed: async () =>
    collect(await client.responses.create({ model: "gpt-5", input: "Tell me about tides.", stream: true })),
  embeddings: () => client.embeddings.create({ model: "text-embedding-3-small", input: ["tide", "wind"] }),
  refused: async () => {
    const seen = [];
    for (const status of ["400", "401", "403", "404", "429", "500", "503"])
      seen.push(await failing(client.chat.completions.create(ask, wish({ "x-simulate-status": status }))));
    return seen;
  },
  retried: () => client.chat.completions.create(ask, wish({ "x-simulate-status": "429,503,200" }, { maxRetries: 2 })),
  errorInsideAStream: async () => {
    const seen = [];
    const stream = await client.chat.completions.create(
      { ...ask, stream: true },
      wish({ "x-simulate-error-after": "4" }),
    );
    return failing(collect(stream, seen), seen);
  },
  left: async () => {
    const headers = { "x-simulate-output-tokens": "9", "x-simulate-token-ms": "100" };
    const stream = await client.chat.completions.create({ ...ask, stream: true }, wish(headers));
    for await (const chunk of stream) {
      if (chunk.choices[0].delta.content) {
        stream.controller.abort();
        return chunk;
      }
    }
  },
};

console.log(JSON.stringify(await calls[name]()));
