// Places an order: asks for stock, then for the price. Node.js 18 or later, no dependencies.

async function ask(url) {
  const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) });
  if (!answer.ok) throw new Error(`${url}: ${answer.status}`);
  return answer.json();
}

async function main(item) {
  const { left } = await ask(`https://stock.example.com/items/${item}`);
  if (left === 0) throw new Error(`${item} is sold out`);
  const { euros } = await ask(`https://prices.example.com/items/${item}`);
  console.log(JSON.stringify({ item, euros }));
}

main(process.argv[2]).catch((error) => {
  console.error(String(error.cause ?? error));
  process.exitCode = 1;
});
