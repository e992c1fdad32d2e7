// caller.mjs - ask the services of a mesh, as docs/PROTOCOL.md says (Q4: rule 4 of a caller)
//
// Opens an account, orders, is refused, asks again under the same key, reads what it has written,
// and goes on ordering until an instance of order-svc has died and another leads. Prints what it
// did. NATS_URL says where the server is; in a secure mesh NATS_NKEY or NATS_CREDS is the file with
// the user's key, NATS_CA the authority's certificate, and NATS_INBOX_PREFIX where the user may
// listen (_INBOX.shop). Needs node 18 and @nats-io/transport-node.
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { connect, credsAuthenticator, headers, nkeyAuthenticator, RequestError, TimeoutError }
    from "@nats-io/transport-node";

const TRY_MS = 250, TRY_MAX_MS = 4000;  // how long a try waits for its answer, at first and at most
const GIVE_UP_MS = 60000 * Number(process.env.JOURNEY_PATIENCE ?? 1);

class Refused extends Error {
    constructor(status, code, message) {
        super(`${code} (${status}): ${message}`);
        this.status = status;
        this.code = code;
    }
}

// Q2: an answer, or a refusal, whose body says why; the status stands in a header.
function readReply(reply) {
    const answer = reply.json();
    if (!answer.error) return answer;
    const status = Number(reply.headers.get("Nats-Service-Error-Code"));
    throw new Refused(status, answer.error.code, answer.error.message);
}

// Without keys: an open mesh.
function authenticator({ NATS_NKEY: seed, NATS_CREDS: credentials }) {
    if (seed) return nkeyAuthenticator(Buffer.from(readFileSync(seed, "utf8").trim()));
    return credentials ? credsAuthenticator(readFileSync(credentials)) : undefined;
}

const { NATS_URL: servers, NATS_CA: caFile, NATS_INBOX_PREFIX: inboxPrefix } = process.env;
const nc = await connect({ servers, maxReconnectAttempts: -1, reconnectTimeWait: 200, inboxPrefix,
    authenticator: authenticator(process.env), tls: caFile ? { caFile } : undefined });
let noResponders = 0, noAnswers = 0;

// The answer, or null: ask again.
async function tryOnce(subject, body, key, timeout) {
    const options = { timeout };
    if (key) {
        options.headers = headers();
        options.headers.set("Idempotency-Key", key);
    }
    try {
        return readReply(await nc.request(subject, body, options));
    } catch (error) {
        if (error instanceof RequestError && error.isNoResponders()) {
            noResponders++;                             // Q6: nobody has taken it
        } else if (error instanceof TimeoutError) {
            noAnswers++;                                // it may have happened
        } else if (!(error instanceof Refused) || error.status < 500) {
            throw error;                                // Q5: of the request; else of the moment
        }
        return null;
    }
}

// Q4: the same bytes under the same key, again and again, until there is an answer.
async function ask(subject, request, key) {
    const body = JSON.stringify(request), until = Date.now() + GIVE_UP_MS;
    for (let wait = TRY_MS; Date.now() < until; wait = Math.min(2 * wait, TRY_MAX_MS)) {
        const answer = await tryOnce(subject, body, key, wait);
        if (answer) return answer;
        await sleep(wait / 5);                          // Q7
    }
    throw new Error(`${subject}: no answer`);
}

// Q3: each command has a key of its own.
const command = (subject, request) => ask(subject, request, randomUUID());

// What a request is refused with.
async function refusal(promise) {
    try {
        await promise;
        return "none";
    } catch (error) {
        if (!(error instanceof Refused)) throw error;
        return `${error.code} ${error.status}`;
    }
}

async function openShop(sku) {
    const address = { street: "1 Rue de la Paix", city: "Paris", postal_code: "75002",
        country: "FR" };
    const { account_id: account } = await command("account.register",
        { name: "Ada", email: `${randomUUID()}@example.org`, address });
    const card = await command("account.add-card", { account_id: account, card_token: "tok_ok",
        brand: "visa", last4: "4242", expires: "2099-12" });
    await command("order.add-product", { sku, name: "Tea", stock: 100000,
        price: { amount: 450, currency: "EUR" } });
    // Q8: order-svc keeps its own copy of accounts; this waits until the copy has the card.
    await ask("order.list", { account_id: account, min_position: { ACCOUNT: card.position } });
    console.log(`account ${account}`);
    return account;
}

const sku = `tea-${randomUUID()}`;
const account = await openShop(sku);
const order = (quantity) => ({ account_id: account, lines: [{ sku, quantity }] });

const key = randomUUID();
const placed = await ask("order.place", order(1), key);
console.log(`placed ${placed.order_id}`);
console.log(`refused ${await refusal(command("order.place", order(1000000)))}`);
const again = await ask("order.place", order(1), key);
console.log(`again ${again.order_id}`);
console.log(`refused ${await refusal(ask("order.place", order(2), key))}`);

// Q8: what was written is read, here and at the other service, which has it by its own copy.
const at = { min_position: { ORDER: placed.position } };
const found = await ask("order.get", { order_id: placed.order_id, ...at });
console.log(`read ${found.order_id} ${found.total.amount} `
    + (found.as_of.ORDER.position >= placed.position));
const { purchases } = await ask("account.get", { account_id: account, ...at });
console.log(`purchases ${purchases.length}`);

console.log("ready for a take-over");
let orders = 0;
for (noResponders = 0; noResponders === 0 || orders < 10; orders++) {
    await command("order.place", order(1));
    await sleep(10);
}
console.log(`ordered ${orders}, tries without a responder: ${noResponders},`
    + ` without an answer: ${noAnswers}`);
await nc.close();
