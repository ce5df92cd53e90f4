// imapflow reads strictly and uses what it finds: COMPRESS, CONDSTORE, QRESYNC, IDLE. Two connections; what the first is told is
// collected and printed as JSON for test_imapflow.py.   imapflow.js PORT CERTIFICATE PASSWORD
"use strict";
const { ImapFlow } = require("imapflow");
const fs = require("fs");
const [port, certificate, pass] = process.argv.slice(2);

const make = () => new ImapFlow({
    host: "localhost", port: Number(port), secure: true, auth: { user: "me", pass }, qresync: true, logger: false,
    tls: { ca: fs.readFileSync(certificate) },
});
const told = { exists: [], expunge: [], flags: [] };
const until = async (what, is) => {
    for (let turn = 0; turn < 200; turn++) {
        if (is()) return;
        await new Promise(resolve => setTimeout(resolve, 50));
    }
    throw new Error("was not told of " + what + ": " + JSON.stringify(told));
};

async function main() {
    const result = {}, one = make(), other = make();
    await one.connect();
    await other.connect();
    result.capabilities = [...one.capabilities.keys()];
    result.enabled = [...one.enabled];
    result.compressed = Boolean(one._inflate);
    result.uses = (await one.list()).filter(box => box.specialUse).map(box => box.specialUse).sort();
    await one.mailboxOpen("INBOX");
    for (const name of ["a", "b", "c"]) {
        const text = `From: me@home.test\r\nTo: me@home.test\r\nSubject: ${name} äöü\r\nX-Test-Id: ${name}\r\n\r\nbody ${name}\r\n`;
        await one.append("INBOX", Buffer.from(text), ["\\Seen"]);
    }
    await one.noop();
    result.messages = [];
    for await (const message of one.fetch("1:*", { uid: true, flags: true, envelope: true, bodyStructure: true, source: true })) {
        result.messages.push([message.uid, [...message.flags], message.envelope.subject, message.bodyStructure.type, message.source.length]);
    }
    const modseq = one.mailbox.highestModseq;
    for (const name of Object.keys(told)) one.on(name, event => told[name].push(event));
    const idle = one.idle();
    await other.mailboxOpen("INBOX");
    const [first, second] = result.messages.map(message => message[0]);
    await other.messageFlagsAdd({ uid: String(first) }, ["\\Flagged", "$Work"], { uid: true });
    await until("flags", () => told.flags.some(event => event.flags.has("\\Flagged")));
    await other.messageDelete({ uid: String(second) }, { uid: true });
    await until("expunge", () => told.expunge.length > 0);
    await other.append("INBOX", Buffer.from("Subject: d\r\nX-Test-Id: d\r\n\r\nd\r\n"));
    await until("exists", () => told.exists.length > 0);
    result.vanished = told.expunge.map(event => [Boolean(event.vanished), event.uid]);
    await one.noop();
    await idle;
    result.changed = [];
    for await (const message of one.fetch("1:*", { uid: true, flags: true }, { changedSince: modseq })) {
        result.changed.push(message.uid);
    }
    const moved = await one.messageMove({ uid: String(first) }, "Archive", { uid: true });
    result.moved = [...moved.uidMap.entries()];
    result.found = await one.search({ header: { "X-Test-Id": "d" } }, { uid: true });
    result.status = await one.status("Archive", { messages: true, unseen: true, highestModseq: true });
    result.status.highestModseq = String(result.status.highestModseq);
    await one.logout();
    await other.logout();
    console.log(JSON.stringify(result));
}

main().catch(error => {
    console.error(error);
    process.exit(1);
});
