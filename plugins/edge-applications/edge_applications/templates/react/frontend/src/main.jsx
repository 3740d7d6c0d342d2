import { useEffect, useState } from "react";
import { createRoot } from "react-dom/client";

function Page() {
  const [shown, setShown] = useState(null);
  useEffect(() => {
    fetch("api/page").then((answer) => answer.json()).then(setShown);
  }, []);
  if (!shown) return <p>Loading</p>;
  return (
    <main style={{ fontFamily: "sans-serif", margin: "3em" }}>
      <h1>Hello, {shown.name}</h1>
      {shown.rows.length ? <Table {...shown} /> : <p>There is no {shown.path} in your organization yet.</p>}
    </main>
  );
}

function Table({ path, columns, rows }) {
  const cell = { border: "1px solid #aaa", padding: ".3em .8em", textAlign: "right" };
  return (
    <table style={{ borderCollapse: "collapse" }}>
      <caption>{path}</caption>
      <thead><tr>{columns.map((column) => <th key={column} style={cell}>{column}</th>)}</tr></thead>
      <tbody>
        {rows.map((row, number) => (
          <tr key={number}>{row.map((value, column) => <td key={column} style={cell}>{value}</td>)}</tr>
        ))}
      </tbody>
    </table>
  );
}

createRoot(document.getElementById("root")).render(<Page />);
