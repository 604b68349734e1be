const list = document.querySelector("#tasks");
const { tasks } = await (await fetch("v1/tasks")).json();
for (const { title, category } of tasks) {
  const item = document.createElement("li");
  item.textContent = `${title} (${category})`;
  list.append(item);
}
