"""The floor under our reads: FastAPI with one route, one dependency and a dictionary in memory."""

from typing import Annotated

from fastapi import Depends, FastAPI, Request
from pydantic import BaseModel


class Item(BaseModel):
    """About as much as a todo."""

    id: int
    title: str
    description: str | None
    completed: bool


app = FastAPI()
app.state.items = {
    number: Item(id=number, title=f"Item {number}", description=None, completed=False)
    for number in range(1, 101)
}


async def get_items(request: Request) -> dict[int, Item]:
    """Return the items."""
    items: dict[int, Item] = request.app.state.items
    return items


@app.get("/items/{item_id}")
async def read_item(item_id: int, items: Annotated[dict[int, Item], Depends(get_items)]) -> Item:
    """Return one item."""
    return items[item_id]
